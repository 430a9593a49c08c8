// Charts: <div data-chart="JSON"> becomes an SVG by ECharts, which is fetched by the first chart of
// a page. gateway/web/dashboard/charts.py writes the JSON; next to each chart stands the same as a
// table.
//
// Content-Security-Policy forbids what ECharts does with setAttribute("style", ...) on the texts of
// an SVG. The same declarations are allowed through the CSSOM, so elements of SVG hand them there.
// Tooltips are built from elements, never from markup.

import { amount } from "./amounts.js";

const setAttribute = SVGElement.prototype.setAttribute;
SVGElement.prototype.setAttribute = function (name, value) {
  if (name === "style") this.style.cssText = value;
  else setAttribute.call(this, name, value);
};

const SERIES = 8;
const charts = new Map();
let loading = null;
let colors = null;

function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.documentElement.dataset.charts;
    script.onload = () => resolve(window.echarts);
    script.onerror = () => reject(new Error("the chart library did not load"));
    document.head.append(script);
  });
  return loading;
}

/** The tokens of the style sheet as colours that ECharts can compute with. */
function palette() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const read = (token) => {
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    series: Array.from({ length: SERIES }, (_, index) => read(`series-${index + 1}`)),
    rest: read("series-rest"),
    text: read("muted"),
    faint: read("faint"),
    grid: read("grid"),
    line: read("line-strong"),
    surface: read("surface"),
    bad: read("bad"),
    font: getComputedStyle(document.body).fontFamily,
  };
  probe.remove();
  return found;
}

function colorOf(swatch) {
  if (swatch === "rest") return colors.rest;
  if (swatch === "line") return colors.faint;
  if (swatch === "bad") return colors.bad;
  return colors.series[(swatch - 1) % SERIES];
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The box at the pointer: one line for each series that has something there, and their sum. */
function tip(spec, index) {
  const box = element("div", "chart-tip");
  box.append(element("div", "chart-tip-title", spec.titles?.[index] ?? spec.labels[index]));
  const shown = spec.series.filter((series) => series.values[index]);
  const stacked = shown.filter((series) => series.stack);
  for (const series of (shown.length ? shown : spec.series.slice(0, 1)).slice(0, 12)) {
    const row = element("div", "chart-tip-row");
    row.append(element("span", `swatch swatch-${series.swatch}`));
    row.append(element("span", "name truncate", series.name));
    row.append(element("span", "value", amount(series.values[index] ?? 0, spec.unit)));
    box.append(row);
  }
  if (stacked.length > 1) {
    const total = stacked.reduce((sum, series) => sum + series.values[index], 0);
    const row = element("div", "chart-tip-row chart-tip-total");
    row.append(element("span", "name", "Total"), element("span", "value", amount(total, spec.unit)));
    box.append(row);
  }
  return box;
}

function seriesOption(spec, series) {
  const color = colorOf(series.swatch);
  const shared = { name: series.name, data: series.values, animation: false, silent: true };
  if (series.kind === "bar") {
    return {
      ...shared,
      type: "bar",
      stack: series.stack,
      barMaxWidth: 44,
      barCategoryGap: spec.labels.length > 60 ? "12%" : "28%",
      itemStyle: { color, borderColor: colors.surface, borderWidth: spec.labels.length > 60 ? 0 : 0.5 },
    };
  }
  return {
    ...shared,
    type: "line",
    step: series.step,
    showSymbol: false,
    symbol: "none",
    connectNulls: false,
    lineStyle: { color, width: series.dashed ? 1.25 : 2, type: series.dashed ? [4, 4] : "solid" },
    itemStyle: { color },
    areaStyle: series.area ? { color, opacity: 0.1 } : undefined,
    z: series.dashed ? 1 : 3,
  };
}

function option(spec) {
  const barred = spec.series.some((series) => series.kind === "bar");
  const edges = barred ? {} : { alignMinLabel: "left", alignMaxLabel: "right" };
  const text = { color: colors.faint, fontFamily: colors.font, fontSize: 11.5 };
  return {
    animation: false,
    textStyle: { fontFamily: colors.font },
    grid: { top: 10, right: 12, bottom: 4, left: 2, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    tooltip: {
      trigger: "axis",
      confine: true,
      transitionDuration: 0,
      // The box is ours: what ECharts lays it in shows nothing.
      backgroundColor: "transparent",
      borderWidth: 0,
      padding: 0,
      extraCssText: "box-shadow: none",
      axisPointer: {
        type: barred ? "shadow" : "line",
        lineStyle: { color: colors.line, type: "solid" },
        shadowStyle: { color: colors.faint, opacity: 0.1 },
      },
      formatter: (found) => tip(spec, found[0].dataIndex),
    },
    xAxis: {
      type: "category",
      data: spec.labels,
      boundaryGap: barred,
      axisLine: { lineStyle: { color: colors.line } },
      axisTick: { show: false },
      axisLabel: { ...text, hideOverlap: true, margin: 10, ...edges },
    },
    yAxis: {
      type: "value",
      min: 0,
      max: spec.ceiling ?? null,
      splitNumber: 4,
      minInterval: spec.unit === "count" ? 1 : 0,
      axisLabel: { ...text, margin: 10, formatter: (value) => amount(value, spec.unit, true) },
      splitLine: { lineStyle: { color: colors.grid } },
      axisLine: { show: false },
      axisTick: { show: false },
    },
    series: spec.series.map((series) => seriesOption(spec, series)),
  };
}

async function draw(plot) {
  const echarts = await library();
  if (!plot.isConnected) return;
  colors ??= palette();
  const text = plot.dataset.chart;
  let entry = charts.get(plot);
  if (entry?.text === text && entry.colors === colors) return;
  if (!entry) {
    const chart = echarts.init(plot, null, { renderer: "svg" });
    const sized = new ResizeObserver(() => chart.resize());
    sized.observe(plot);
    entry = { chart, sized };
    charts.set(plot, entry);
  }
  Object.assign(entry, { text, colors });
  entry.chart.setOption(option(JSON.parse(text)), { notMerge: true });
  plot.dataset.drawn = "";
}

function drawAll() {
  for (const [plot, { chart, sized }] of charts) {
    if (!plot.isConnected) {
      sized.disconnect();
      chart.dispose();
      charts.delete(plot);
    }
  }
  for (const plot of document.querySelectorAll("[data-chart]")) draw(plot);
}

document.addEventListener("htmx:after:swap", drawAll);
document.addEventListener("faregate:theme", () => {
  colors = palette();
  drawAll();
});
document.fonts.ready.then(drawAll);
