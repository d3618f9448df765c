// What a page must hold for people who do not see it well, or use no mouse. Returns what it does not.
() => {
  const found = [];
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getClientRects().length > 0;
  const told = (element) => `${element.tagName.toLowerCase()}.${String(element.className.baseVal ?? element.className).split(" ").slice(0, 2).join(".")} ${JSON.stringify((element.innerText ?? "").slice(0, 40))}`;
  const nameOf = (element) =>
    element.getAttribute("aria-label") ||
    (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.innerText ?? "").join("") ||
    [...(element.labels ?? [])].map((label) => label.innerText).join("") ||
    (element.innerText ?? "").trim() ||
    element.querySelector?.("[aria-label], title")?.getAttribute("aria-label") ||
    element.getAttribute("title");

  for (const element of document.querySelectorAll("a[href], button, input, select, textarea, [role=log], [role=region], nav, section, [role=table]")) {
    if (seen(element) && !nameOf(element)) found.push(`no name: ${told(element)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((one, index) => ids.indexOf(one) !== index))) found.push(`twice: #${id}`);
  for (const element of document.querySelectorAll("[aria-controls], [aria-describedby]")) {
    const wanted = element.getAttribute("aria-describedby");
    for (const id of (wanted ?? "").split(" ").filter(Boolean)) if (!document.getElementById(id)) found.push(`describes nothing: ${told(element)}`);
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("there is not one heading of the page");
  let level = 1;
  for (const heading of document.querySelectorAll("main h1, main h2, main h3, main h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`a heading of level ${next} below one of ${level}: ${told(heading)}`);
    level = next;
  }
  for (const element of document.querySelectorAll("img:not([alt]), [role=img]:not([aria-label])")) if (seen(element)) found.push(`a picture without words: ${told(element)}`);
  for (const element of document.querySelectorAll("[tabindex]")) if (element.tabIndex > 0) found.push(`out of order: ${told(element)}`);

  // Colours: WCAG 2.1 AA for text; disabled controls are left out, as there.
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const cache = new Map();
  const channels = (colour) => {
    if (!cache.has(colour)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
      cache.set(colour, { rgb: [red, green, blue], alpha: alpha / 255 });
    }
    return cache.get(colour);
  };
  const over = (top, below) => top.rgb.map((value, index) => value * top.alpha + below[index] * (1 - top.alpha));
  const backOf = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = channels(getComputedStyle(at).backgroundColor);
      layers.push(layer);
      if (layer.alpha === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (rgb) => rgb.map((value) => value / 255).map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)).reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element || !seen(element) || element.closest(":disabled, [data-disabled], .unseen, .skip, noscript, script, style")) continue;
    const style = getComputedStyle(element);
    const back = backOf(element);
    const [one, other] = [light(over(channels(style.color), back)), light(back)];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) found.push(`contrast ${contrast.toFixed(1)}: ${told(element)}`);
  }
  return [...new Set(found)];
}
