/** Entry of pages: every carrier of an atlas becomes an explorer; the first owns the address. */

import { mount } from "./explorer.js";
import { pageHost, receive } from "./host-page.js";

globalThis.hrvlabAtlas = { receive };

function begin() {
  document.querySelectorAll(".hrvlab-atlas").forEach((carrier, at) => {
    if (carrier.dataset.mounted) return;
    carrier.dataset.mounted = "true";
    mount(carrier, pageHost(carrier, { owner: at === 0 }));
  });
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
else begin();
