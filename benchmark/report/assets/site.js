"use strict";
// Theme, sorting, filtering, provenance and charts. The page is complete without it; nothing here leaves the page,
// and whatever comes from rows is set as text.
(() => {
  const root = document.body.dataset.root;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);

  // ---- theme -------------------------------------------------------------------------------------------------
  const html = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (html.dataset.theme ? html.dataset.theme === "dark" : system.matches);
  const button = one("#theme");
  const tellTheme = () => {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
    redraw();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    html.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("c2f-theme", html.dataset.theme); } catch { /* then for this page only */ }
    tellTheme();
  });
  system.addEventListener("change", tellTheme);

  // ---- scripts that are fetched when they are needed: data and the chart library -----------------------------
  const scripts = new Map();
  const script = (name) => {
    if (!scripts.has(name)) {
      scripts.set(name, new Promise((done, failed) => {
        const tag = document.createElement("script");
        tag.src = root + "assets/" + name;
        tag.onload = done;
        tag.onerror = () => failed(new Error(name + " is missing"));
        document.head.append(tag);
      }));
    }
    return scripts.get(name);
  };
  const received = {};
  window.c2f = { receive(name, data) { received[name] = data; } };

  // ---- the table: sort within each board, filter lines -------------------------------------------------------
  const table = one("table.board");
  const form = one("form.filters");
  const collator = new Intl.Collator("en", { numeric: true });
  const LIMIT = 100; // lines of a board that are laid out at first; the rest is a click away
  if (table && form) wireTable();

  function wireTable() {
    const bodies = all("tbody", table).map((body) => ({
      body,
      group: one("tr.group", body),
      lines: all("tr:not(.group)", body).map((row) => ({
        row,
        family: row.dataset.family,
        text: one("th", row).textContent.toLowerCase(),
        keys: all("[data-sort], .graphic", row).map((cell) => key(cell.dataset.sort)),
      })),
      rest: element("tr", [element("td", [element("button", "", { type: "button", class: "quiet" })], { colspan: 99 })], { class: "rest" }),
      limit: LIMIT,
    }));
    for (const board of bodies) {
      board.body.append(board.rest);
      one("button", board.rest).addEventListener("click", () => {
        board.limit = Infinity;
        filter();
      });
    }
    const heads = all("thead th", table);
    const controls = Object.fromEntries(all("[data-filter]", form).map((input) => [input.dataset.filter, input]));
    const columns = one("[data-all-columns]", form);
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
    one("[data-reset]", form).addEventListener("click", () => {
      Object.values(controls).forEach((input) => { input.value = ""; });
      filter();
    });
    columns.addEventListener("click", () => showColumns(columns.getAttribute("aria-pressed") !== "true"));
    heads.forEach((head, index) => one("button", head)?.addEventListener("click", () => sort(index)));
    if (!one(".optional", table)) columns.hidden = true;
    recall();
    filter();
    fit();
    addEventListener("resize", fit);

    function key(text) {
      if (text === undefined || text === "") return null;
      const number = Number(text);
      return Number.isNaN(number) ? text : number;
    }

    function compare(a, b, sign) {
      if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last, both ways
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      return sign * collator.compare(String(a), String(b));
    }

    function sort(index, wanted) {
      const head = heads[index];
      const now = head.getAttribute("aria-sort");
      const first = one("button", head).dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      const order = wanted ?? (now === first ? other : first);
      heads.forEach((each) => { if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none"); });
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      for (const { body, group, lines, rest } of bodies) {
        lines.sort((a, b) => compare(a.keys[index], b.keys[index], sign));
        body.replaceChildren(...(group ? [group] : []), ...lines.map((line) => line.row), rest);
      }
      filter();
    }

    function filter() {
      const words = (controls.text.value || "").toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = (name) => controls[name]?.value || "";
      let shown = 0;
      let total = 0;
      for (const { body, lines, rest, limit } of bodies) {
        const open = ["task", "backbone", "recipe"].every((name) => !wanted(name) || body.dataset[name] === wanted(name));
        let inBody = 0;
        for (const { row, family, text } of lines) {
          const fits = open && (!wanted("family") || family === wanted("family")) && words.every((w) => text.includes(w));
          inBody += fits;
          row.hidden = !fits;
          row.classList.toggle("beyond", fits && inBody > limit);
        }
        body.hidden = !inBody;
        rest.hidden = inBody <= limit;
        one("button", rest).textContent = `Show all ${inBody} lines`;
        shown += inBody;
        total += lines.length;
      }
      one(".count", form).textContent = shown === total ? `${total} lines` : `${shown} of ${total} lines`;
      remember();
    }

    function showColumns(every) {
      columns.setAttribute("aria-pressed", String(every));
      table.classList.toggle("every", every);
      fit();
      remember();
    }

    // Where the whole table fits, its frame need not scroll and the headings can stay in view.
    function fit() {
      const frame = table.parentElement;
      frame.classList.remove("fits");
      frame.classList.toggle("fits", table.scrollWidth <= frame.clientWidth + 1);
    }

    // The view is part of the address, so that it can be shared.
    function remember() {
      const state = new URLSearchParams();
      for (const [name, input] of Object.entries(controls)) if (input.value) state.set(name, input.value);
      const sorted = heads.findIndex((head) => !["none", null].includes(head.getAttribute("aria-sort")));
      const order = heads[sorted]?.getAttribute("aria-sort");
      if (sorted > 0 || order === "descending") state.set("sort", `${sorted}.${order}`);
      if (columns.getAttribute("aria-pressed") === "true") state.set("columns", "all");
      const hash = state.toString();
      if (!hash && !location.hash.includes("=")) return;
      try { history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search); } catch { /* no matter */ }
    }

    function recall() {
      if (!location.hash.includes("=")) return;
      const state = new URLSearchParams(location.hash.slice(1));
      for (const [name, input] of Object.entries(controls)) if (state.has(name)) input.value = state.get(name);
      if (state.get("columns") === "all") showColumns(true);
      const [index, order] = (state.get("sort") ?? "").split(".");
      if (["ascending", "descending"].includes(order) && heads[index]?.hasAttribute("aria-sort")) sort(Number(index), order);
    }
  }

  // ---- provenance --------------------------------------------------------------------------------------------
  const dialog = one("#provenance");
  one("[data-close]", dialog).addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.addEventListener("click", async (event) => {
    const opener = event.target.closest("[data-provenance]");
    if (!opener) return;
    const { provenance: board, label } = opener.dataset;
    await script(`data/${board}.js`);
    fillProvenance(received[board], label);
    dialog.showModal();
  });

  function fillProvenance(data, label) {
    one("#provenance-title").textContent = `Provenance: ${label}`;
    const rows = data.labels.flatMap((each, index) => (each === label ? [index] : []));
    const lines = Object.entries(data.columns).map(([name, values]) => {
      const own = Array.isArray(values) ? rows.map((index) => values[index]) : [values];
      return element("tr", [element("th", name, { scope: "row" }), ...cells(own, rows.length)]);
    });
    one("table", dialog).replaceChildren(element("tbody", lines));
  }

  function cells(values, width) {
    const same = values.every((value) => value === values[0]);
    const shown = same ? values.slice(0, 1) : values;
    const span = same ? { colspan: width } : {};
    return shown.map((value) => element("td", [element("code", value ?? "")], { class: "wrap", ...span }));
  }

  function element(name, content, attributes = {}) {
    const made = document.createElement(name);
    if (Array.isArray(content)) made.append(...content);
    else made.textContent = String(content);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    return made;
  }

  // ---- charts: drawn when they come into view, and again when the theme changes ------------------------------
  const drawn = new Map();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "300px" });
  all("figure.chart").forEach((figure) => watcher.observe(figure));

  async function draw(figure) {
    const canvas = one(".canvas", figure);
    try {
      await script("vega.js");
      const spec = themed(JSON.parse(one("script", figure).textContent));
      const holder = document.createElement("div");
      const size = canvas.getBoundingClientRect();
      canvas.style.minHeight = `${size.height}px`;
      canvas.replaceChildren(holder);
      drawn.get(figure)?.finalize();
      const result = await vegaEmbed(holder, spec, {
        actions: false, ast: true, renderer: spec.usermeta?.canvas ? "canvas" : "svg",
        config: look(), tooltip: { theme: isDark() ? "dark" : "light" },
      });
      drawn.set(figure, result);
      holder.setAttribute("role", "img");
      holder.setAttribute("aria-label", spec.description ?? "");
      offerFiles(figure);
      figure.dataset.drawn = isDark() ? "dark" : "light";
    } catch (error) {
      canvas.replaceChildren(element("p", `This chart cannot be drawn: ${error.message}`, { class: "waiting" }));
    }
  }

  function redraw() {
    for (const figure of drawn?.keys() ?? []) draw(figure);
  }

  function offerFiles(figure) {
    if (one(".files", figure)) return;
    const buttons = ["svg", "png"].map((kind) => {
      const made = element("button", kind.toUpperCase(), { type: "button", class: "quiet" });
      made.setAttribute("aria-label", `Save ${one("h3", figure).textContent} as ${kind.toUpperCase()}`);
      made.addEventListener("click", async () => {
        const url = await drawn.get(figure).view.toImageURL(kind, kind === "png" ? 3 : 1);
        element("a", "", { href: url, download: `${figure.id}.${kind}` }).click();
      });
      return made;
    });
    one("figcaption", figure).append(element("p", buttons, { class: "files" }));
  }

  // A specification names its colours as parameters; here they get the theme's values.
  function themed(spec) {
    const names = { tied: "--tied-mark", plain: "--c1", few: "--faint", muted: "--muted", paper: "--paper" };
    for (const parameter of spec.params ?? []) {
      if (parameter.name in names) parameter.value = colour(names[parameter.name]);
    }
    return spec;
  }

  function look() {
    const [ink, muted, rule] = ["--ink", "--muted", "--rule"].map(colour);
    const palette = [1, 2, 3, 4, 5, 6, 7].map((number) => colour(`--c${number}`));
    return {
      font: getComputedStyle(document.body).fontFamily,
      background: null,
      view: { stroke: null },
      axis: {
        labelColor: muted, titleColor: ink, gridColor: rule, domainColor: rule, tickColor: rule, labelFontSize: 12,
        titleFontSize: 12, titleFontWeight: 500, titlePadding: 10, tickSize: 4, labelLimit: 220,
      },
      axisY: { labelColor: ink },
      legend: {
        labelColor: ink, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, symbolSize: 80,
        orient: "top", labelLimit: 260, columns: { expr: "width < 400 ? 1 : width < 700 ? 3 : 5" }, offset: 14,
        columnPadding: 18,
      },
      range: { category: palette },
    };
  }

  // light-dark() is resolved where a colour is used, not where a variable is read.
  function colour(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  addEventListener("beforeprint", () => all("figure.chart:not([data-drawn])").forEach(draw));
  tellTheme();
})();
