"use strict";
// What makes pages quicker and draws charts. Every page works without it.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A chart from the table within `figure[data-chart]`; the table stays, folded away.
  const rowsOf = (table) =>
    [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell, at) => (at ? Number(cell.textContent) : cell.textContent)));

  const stack = (columns) => {
    const sums = new Array(columns[0].length).fill(0);
    return columns.map((column) => column.map((value, at) => (sums[at] += value)));
  };

  function draw(figure) {
    const table = figure.querySelector("table");
    const canvas = figure.querySelector(".canvas");
    const rows = rowsOf(table);
    const kinds = figure.dataset.inks ? figure.dataset.inks.split(" ") : ["ok", "unknown", "wait", "open"];
    // A column without a colour of its own stays in the table alone.
    const most = figure.dataset.inks ? kinds.length : undefined;
    const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent).slice(0, most);
    const stacked = figure.dataset.stacked === "yes";
    const plain = names.map((_, at) => rows.map((row) => row[at + 1]));
    const columns = stacked ? stack(plain).reverse() : plain;
    const shown = stacked ? [...plain].reverse() : plain;
    const labels = stacked ? [...names].reverse() : names;
    const inks = names.map((_, at) => colour(`--bar-${kinds[at % kinds.length]}`));
    const series = labels.map((label, at) => {
      const ink = stacked ? inks[names.length - 1 - at] : inks[at];
      const bars = uPlot.paths.bars({ size: [0.7, 40] });
      return { label, stroke: ink, fill: stacked ? ink : undefined, width: stacked ? 0 : 2, paths: stacked ? bars : undefined,
        points: { show: false }, value: (_, __, ___, row) => (row == null ? "" : String(shown[at][row])) };
    });
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    canvas.replaceChildren();
    return new uPlot({
      width: canvas.clientWidth || 320, height: 200, scales: { x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] }, y: { range: (_, __, high) => [0, Math.max(1, high * 1.05)] } },
      axes: [{ ...axis, grid: { show: false }, values: (_, at) => at.map((n) => (Number.isInteger(n) && rows[n] ? rows[n][0] : "")) }, { ...axis, size: 44 }],
      series: [{ label: table.tHead.rows[0].cells[0].textContent, value: (_, n) => (n == null ? "" : rows[n][0]) }, ...series],
    }, [rows.map((_, at) => at), ...columns], canvas);
  }

  const drawn = new Map();
  function drawAll(root) {
    for (const figure of root.querySelectorAll("figure[data-chart]")) {
      if (!drawn.has(figure)) figure.querySelector("details").open = false;
      drawn.get(figure)?.destroy();
      drawn.set(figure, draw(figure));
    }
  }

  const anew = () => drawAll(document);
  document.addEventListener("DOMContentLoaded", anew);
  document.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
  let later;
  addEventListener("resize", () => { clearTimeout(later); later = setTimeout(anew, 150); });

  // A part that is live is asked for again while its page is looked at and nobody is at work in it: nothing jumps away.
  const isAtRest = (part) => !part.contains(document.activeElement) && !part.querySelector("details[open]") && getSelection().isCollapsed;
  let seconds = 0;
  setInterval(() => {
    if (document.hidden) return;
    seconds += 1;
    for (const part of document.querySelectorAll("[data-live]")) {
      if (seconds % Number(part.dataset.live) === 0 && isAtRest(part)) htmx.trigger(part, "live");
    }
  }, 1000);

  // An open menu closes by Escape and by a click elsewhere.
  const closeMenus = (except) => document.querySelectorAll("details.menu[open]").forEach((menu) => { if (menu !== except) menu.open = false; });
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    closeMenus(null);
    menu?.querySelector("summary").focus();
  });
})();
