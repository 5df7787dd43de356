"use strict";
(() => {
  // ---- theme: follows the system until somebody chooses -------------------------------------
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("optreg-theme"); } catch (error) { /* a file may have none */ }
  const applyTheme = () => { root.dataset.theme = chosen || (system.matches ? "dark" : "light"); };
  system.addEventListener("change", applyTheme);
  document.getElementById("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("optreg-theme", chosen); } catch (error) { /* not kept, then */ }
    applyTheme();
  });
  applyTheme();

  // ---- rows, read once; they come worst first -------------------------------------------------
  const byId = (id) => document.getElementById(id);
  const table = byId("pairs"), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const NAME = 1, VERDICT = 2;
  const items = [...body.rows].map((row, place) => {
    const [, name, verdict] = row.cells;
    return {
      row, place,
      level: row.className,
      group: name.querySelector(".group")?.textContent ?? "",
      name: name.firstChild.textContent,
      words: `${name.textContent} ${verdict.textContent}`.toLowerCase(),
      // A missing number is NaN.
      values: [...row.cells].map((cell) => Number(cell.dataset.v)),
    };
  });
  const collator = new Intl.Collator(undefined, { numeric: true });

  // ---- state: in the address, so that it is there again on the way back from a report --------
  const START = { words: "", level: "", group: "*", sort: String(VERDICT), way: "descending", range: "" };
  let state = { ...START };
  try {
    const kept = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    for (const key of Object.keys(START)) if (key in kept) state[key] = kept[key];
  } catch (error) { /* an address somebody wrote */ }
  const keep = () => {
    const changed = Object.entries(state).filter(([key, value]) => value !== START[key]);
    const hash = new URLSearchParams(changed).toString();
    try { history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search); }
    catch (error) { /* not kept, then */ }
  };

  // ---- order ------------------------------------------------------------------------------------
  const sort = () => {
    const column = Number(state.sort), up = state.way === "ascending" ? 1 : -1;
    const compare = (a, b) => {
      if (column === VERDICT) return -up * (a.place - b.place);
      if (column === NAME) return up * collator.compare(a.name, b.name) || a.place - b.place;
      const x = a.values[column], y = b.values[column];
      // What has no number is last, both ways.
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.place - b.place;
      return x === y ? a.place - b.place : up * (x < y ? -1 : 1);
    };
    items.sort(compare);
    body.append(...items.map((item) => item.row));
    heads.forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", state.way);
      else head.removeAttribute("aria-sort");
    });
  };
  heads.forEach((head, index) => head.querySelector("button")?.addEventListener("click", (event) => {
    const first = event.currentTarget.dataset.first;
    const again = state.sort === String(index) && state.way === first;
    state.way = again ? { ascending: "descending", descending: "ascending" }[first] : first;
    state.sort = String(index);
    sort();
    keep();
  }));

  // ---- filters ----------------------------------------------------------------------------------
  const number = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const figures = [...document.querySelectorAll("figure")];
  const filter = () => {
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    const [column, low, high, last] = state.range ? state.range.split("_").map(Number) : [];
    let shown = 0;
    for (const item of items) {
      const value = item.values[column];
      const hidden = !((!state.level || item.level === state.level)
        && (state.group === "*" || item.group === state.group)
        && words.every((word) => item.words.includes(word))
        && (!state.range || (value >= low && (last ? value <= high : value < high))));
      if (item.row.hidden !== hidden) item.row.hidden = hidden;
      shown += !hidden;
    }
    byId("count").textContent = `${number(shown)} of ${number(items.length)} shown`;
    byId("nothing").hidden = shown > 0;
    for (const [id, value] of [["levels", state.level], ["groups", state.group]]) {
      const choice = byId(id);
      if (choice?.tagName === "SELECT") choice.value = value;
      else choice?.querySelectorAll("button").forEach((button) => {
        button.setAttribute("aria-pressed", String(button.value === value));
      });
    }
    for (const figure of figures) {
      const bars = [...figure.querySelectorAll("g")];
      for (const bar of bars) bar.classList.toggle("chosen", bar.dataset.range === state.range);
      const bar = bars.find((one) => one.dataset.range === state.range);
      figure.querySelector("svg").classList.toggle("narrowed", Boolean(bar));
      if (bar) byId("range").textContent = `${bar.dataset.words} \u00d7`;
    }
    byId("range").hidden = !state.range;
    keep();
  };
  const choose = (key) => (event) => {
    const button = event.target.closest("button");
    if (button) { state[key] = button.value; filter(); }
  };
  byId("levels").addEventListener("click", choose("level"));
  byId("groups")?.addEventListener("click", choose("group"));
  byId("groups")?.addEventListener("change", (event) => { state.group = event.target.value; filter(); });
  byId("filter").addEventListener("input", (event) => { state.words = event.target.value; filter(); });
  byId("range").addEventListener("click", () => { state.range = ""; filter(); });
  for (const figure of figures) {
    figure.classList.add("live");
    figure.addEventListener("click", (event) => {
      const bar = event.target.closest("g");
      if (!bar) return;
      state.range = state.range === bar.dataset.range ? "" : bar.dataset.range;
      filter();
    });
  }

  byId("filter").value = state.words;
  byId("tools").hidden = false;
  if (state.sort !== START.sort || state.way !== START.way) sort();
  filter();
})();
