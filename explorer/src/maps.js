/** Images lit where a head looks: its own cells, dark where it does not. */

const DARKEST = 0.18;

/** Paint an image, darkened cell by cell where a map is low. */
export function paintMap(canvas, image, map, { smooth = false } = {}) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = image.naturalWidth > width;
  context.drawImage(image, 0, 0, width, height);
  if (!map) return;
  const shade = new ImageData(map.width, map.height);
  for (let at = 0; at < map.width * map.height; at += 1) {
    const light = DARKEST + (1 - DARKEST) * Math.min(1, (map.values[at] / map.most) * (map.strength ?? 1));
    shade.data[4 * at + 3] = Math.round(255 * (1 - light));
  }
  const small = document.createElement("canvas");
  [small.width, small.height] = [map.width, map.height];
  small.getContext("2d").putImageData(shade, 0, 0);
  context.imageSmoothingEnabled = smooth;
  context.drawImage(small, 0, 0, width, height);
}

/** Load an address as an image element that is ready to be drawn. */
export function loadImage(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("an image of the atlas cannot be read"));
    image.src = address;
  });
}
