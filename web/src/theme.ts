import { Modal } from "@mantine/core";

/** Locking the page's scrolling would need a style element, which the server's policy forbids. */
export const THEME = {
  cursorType: "pointer",
  components: { Modal: Modal.extend({ defaultProps: { lockScroll: false, centered: true, closeButtonProps: { "aria-label": "Close" } } }) },
} as const;
