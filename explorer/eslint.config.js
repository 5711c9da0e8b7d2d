import js from "@eslint/js";

const browser = [
  "AbortController", "Blob", "Image", "ImageData", "MutationObserver", "ResizeObserver", "URL",
  "Buffer", "URLSearchParams", "addEventListener", "atob", "btoa", "clearInterval", "clearTimeout", "document",
  "getComputedStyle", "history", "location", "matchMedia", "navigator", "process", "setInterval", "setTimeout",
];

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow": "error" },
  },
];
