/** Search heads ("up 7 7"), concepts and words. */

const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();

export function search(model, text, most = 12) {
  const asked = plain(text);
  if (!asked) return { found: [], near: [] };
  const parts = asked.split(" ");
  const heads = model.heads.filter((head) => {
    const own = [head.layer.block, String(head.layer.number), String(head.head)];
    const given = parts.filter((part) => part !== "head");
    return given.length <= own.length && given.every((part, at) => own[at].startsWith(part));
  });
  const exact = (head) => plain(head.name) === parts.filter((part) => part !== "head").join(" ");
  heads.sort((a, b) => exact(b) - exact(a) || a.index - b.index);
  const found = [
    ...model.concepts
      .filter((concept) => plain(concept).includes(asked))
      .map((concept) => ({ kind: "concept", value: concept, text: concept })),
    ...heads.slice(0, most).map((head) => ({ kind: "head", value: head.name, text: head.label })),
    ...wordHits(model, asked),
  ];
  const near = found.length ? [] : nearest(model, parts);
  return { found: found.slice(0, most), near };
}

/** Heads that attend most to a word of the vocabulary. */
function wordHits(model, asked) {
  const words = model.first.vocabulary ?? [];
  const chosen = words.filter((word) => plain(word).startsWith(asked)).slice(0, 3);
  return chosen.flatMap((word) => {
    const hits = model.heads
      .map((head) => ({ head, share: model.topWords(head.index).find(([own]) => own === word)?.[1] }))
      .filter(({ share }) => share)
      .sort((a, b) => b.share - a.share)
      .slice(0, 3);
    return hits.map(({ head, share }) => ({
      kind: "head",
      value: head.name,
      text: `${head.label} · “${word}” ${(100 * share).toFixed(0)} %`,
    }));
  });
}

/** The heads that come closest to a name that no head has, and why. */
function nearest(model, parts) {
  const numbers = parts.map(Number).filter(Number.isFinite);
  const blocks = [...new Set(model.layers.map((layer) => layer.block))];
  const block = blocks.find((own) => parts.some((part) => own.startsWith(part)));
  if (!numbers.length && !block) return [];
  const [layer = 0, head = 0] = numbers;
  const own = model.heads.filter((one) => !block || one.layer.block === block);
  const far = (one) => 100 * Math.abs(one.layer.number - layer) + Math.abs(one.head - head);
  return own
    .sort((a, b) => far(a) - far(b))
    .slice(0, 3)
    .map((one) => ({ kind: "head", value: one.name, text: one.label }));
}
