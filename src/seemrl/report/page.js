"use strict";
// Draws every figure of the page in the colours of its theme; redraws them when the theme changes.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)");
  const narrow = window.matchMedia("(max-width: 600px)");
  const config = {
    responsive: true,
    displayModeBar: touch.matches || narrow.matches ? false : "hover",
    displaylogo: false,
    plotlyServerURL: "", // Plotly's button that uploads a chart to its cloud goes: the page sends nothing anywhere
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { scale: 2 },
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function theme() {
    const ink = colour("--ink"), line = colour("--line"), card = colour("--card");
    return {
      "font.color": ink,
      "xaxis.gridcolor": line, "xaxis.linecolor": line,
      "yaxis.gridcolor": line, "yaxis.linecolor": line,
      "hoverlabel.bgcolor": card, "hoverlabel.bordercolor": line, "hoverlabel.font.color": ink,
      "legend.bgcolor": "rgba(0,0,0,0)",
      "modebar.bgcolor": "rgba(0,0,0,0)", "modebar.color": colour("--soft"), "modebar.activecolor": ink,
    };
  }

  function put(target, path, value) {
    const keys = path.split(".");
    const last = keys.pop();
    for (const key of keys) target = target[key] ??= {};
    target[last] = value;
  }

  const holders = [...document.querySelectorAll("[data-figure]")];
  for (const holder of holders) {
    const figure = JSON.parse(document.getElementById(holder.dataset.figure).textContent);
    for (const [path, value] of Object.entries(theme())) put(figure.layout, path, value);
    if (narrow.matches) {
      figure.layout.margin.t = 10; // no row of buttons there
      figure.layout.height += 14 * figure.data.filter((trace) => trace.showlegend !== false).length;
    }
    if (touch.matches) figure.layout.dragmode = false; // a finger scrolls the page instead of zooming the chart
    Plotly.newPlot(holder, figure.data, figure.layout, config);
  }
  dark.addEventListener("change", () => holders.forEach((holder) => Plotly.relayout(holder, theme())));
})();
