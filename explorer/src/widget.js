/** Entry of notebooks: what anywidget calls. */

import { mount } from "./explorer.js";
import { widgetHost } from "./host-widget.js";

async function render({ model, el, signal }) {
  const host = widgetHost(model);
  const unmount = await mount(el, host);
  const stop = () => {
    unmount();
    host.stop();
  };
  signal?.addEventListener("abort", stop, { once: true });
  return stop; // older hosts give no signal
}

export default { render };
