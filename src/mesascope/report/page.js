// Draws every figure of the page. Vega's expressions are interpreted (`ast`), so that the page needs no `eval`.
(() => {
  "use strict";
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true,
    actions: { export: true, source: false, compiled: false, editor: false },
    tooltip: { theme: "mesascope", disableDefaultStyle: true },
  };
  const drawings = [];

  // Chooses how many panels fit side by side; the style sheet scales down figures that are still too wide.
  function fit(spec, room) {
    const { legend, panel, panels, fit } = spec.usermeta;
    const config = { ...spec.config, legend: { ...spec.config.legend, columns: Math.max(1, Math.floor(room / legend)) } };
    const fitted = { ...spec, config };
    if (fit) fitted.width = Math.min(spec.width, room);
    if (spec.facet) {
      const most = Math.max(1, Math.min(spec.columns, Math.floor((room + 10) / panel)));
      fitted.columns = Math.ceil(panels / Math.ceil(panels / most));
      if (panels % fitted.columns) fitted.resolve = { axis: { x: "independent" } };
    }
    return fitted;
  }

  async function draw(drawing) {
    const { plot, spec } = drawing;
    drawing.room = plot.clientWidth;
    try {
      if (drawing.view) drawing.view.finalize();
      drawing.view = (await vegaEmbed(plot, fit(spec, drawing.room), options)).view;
    } catch (error) {
      plot.textContent = "This figure could not be drawn: " + error.message;
      console.error(error);
    }
  }

  // A table of the figure's numbers, as an alternative to tooltips; built when it is opened.
  function offer(figure, spec) {
    const details = document.createElement("details");
    details.className = "data";
    const grow = (parent, name, text = "") => Object.assign(parent.appendChild(document.createElement(name)), { textContent: text });
    grow(details, "summary", "Data");
    details.addEventListener("toggle", () => {
      const table = grow(Object.assign(grow(details, "div"), { className: "scroll" }), "table");
      const head = grow(grow(table, "thead"), "tr");
      for (const [, title] of spec.usermeta.columns) grow(head, "th", title).scope = "col";
      const body = grow(table, "tbody");
      for (const row of spec.data.values) {
        const line = grow(body, "tr");
        for (const [field] of spec.usermeta.columns) grow(line, "td", row[field]);
      }
    }, { once: true });
    figure.append(details);
  }

  async function all() {
    for (const element of document.querySelectorAll("script.spec")) {
      const plot = element.parentElement.querySelector(".plot");
      const drawing = { plot, spec: JSON.parse(element.textContent) };
      drawings.push(drawing);
      offer(element.parentElement, drawing.spec);
      await draw(drawing);
    }
    document.documentElement.dataset.drawn = String(drawings.length);
  }

  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      for (const drawing of drawings) if (Math.abs(drawing.plot.clientWidth - drawing.room) > 20) await draw(drawing);
    }, 200);
  });
  // Folded parts are opened for printing.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open], .data, .plot details)")];
    for (const part of unfolded) part.open = true;
  });
  addEventListener("afterprint", () => unfolded.forEach((part) => (part.open = false)));
  all();
})();
