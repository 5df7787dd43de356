"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const hasWarpedLabels = "warped" in data.planes[0].lines;

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

  // ---- pictures and lines, decoded once -------------------------------------------------------
  const images = data.planes.map((plane) => Object.fromEntries(
    Object.entries(plane.layers).map(([name, address]) => {
      const image = new Image();
      image.src = address;
      return [name, image];
    })));
  const paths = new Map();

  function linePath(p, name, slice) {
    const key = `${p}/${name}/${slice}`;
    if (!paths.has(key)) {
      const bytes = Uint8Array.from(atob(data.planes[p].lines[name][slice]), (c) => c.charCodeAt(0));
      const view = new DataView(bytes.buffer);
      const path = new Path2D();
      let first = true;
      for (let at = 0; at < bytes.length;) {
        const x = view.getInt16(at, true);
        if (x === data.end) { first = true; at += 2; continue; }
        const y = view.getInt16(at + 2, true);
        if (first) path.moveTo(x / data.fraction, y / data.fraction);
        else path.lineTo(x / data.fraction, y / data.fraction);
        first = false;
        at += 4;
      }
      paths.set(key, path);
    }
    return paths.get(key);
  }

  // ---- what each viewer offers ------------------------------------------------------------------
  const outlineLines = hasWarpedLabels ? ["fixed", "warped"] : ["fixed"];
  const layer = (image, label, labels = outlineLines) => ({ image, label, outlines: labels });
  const moving = layer("moving", "moving, before", ["fixed"]);
  const warped = layer("warped", "moving, warped");
  const fixed = layer("fixed", "fixed");
  const kinds = {
    compare: {
      views: [["Before | after", moving, warped], ["Fixed | before", layer("fixed", "fixed", ["fixed"]), moving],
              ["Fixed | after", fixed, warped]],
      modes: true, outlines: true, grid: false, toggles: true,
    },
    difference: {
      views: [["Before | after", layer("before", "before"), layer("after", "after")],
              ["Before", layer("before", "before"), null], ["After", layer("after", "after"), null]],
      modes: true, outlines: false, grid: false, toggles: false,
    },
    deformation: {
      views: [["log Jacobian", layer("jacobian", "log Jacobian"), null], ["Fixed image", fixed, null],
              ["Warped image", warped, null]],
      modes: false, outlines: false, grid: true, toggles: true,
    },
  };

  // Slices are shared: all viewers look at the same place.
  const slices = data.planes.map((plane) => Math.floor(plane.slices.length / 2));
  const viewers = [];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "class") node.className = value;
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }

  class Viewer {
    constructor(section) {
      this.kind = kinds[section.dataset.kind];
      this.view = this.kind.views[0];
      this.wipe = 0.5;
      this.mode = "wipe";
      this.showB = false;
      this.outlines = this.kind.outlines;
      this.grid = this.kind.grid;
      this.timer = 0;
      this.tools(section.querySelector(".tools"));
      this.stages = data.planes.map((plane, p) => this.stage(plane, p));
      section.querySelector(".stages").append(...this.stages.map((stage) => stage.figure));
    }

    tools(place) {
      const group = (label, names, current, pick) => {
        const buttons = names.map((name) => make("button", {
          type: "button", "aria-pressed": String(name === current()),
          onclick: () => { pick(name); refresh(); this.draw(); },
        }, name));
        const refresh = () => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(names[i] === current())));
        place.append(make("div", { class: "segments", role: "group", "aria-label": label }, ...buttons));
        return refresh;
      };
      const toggle = (label, property) => {
        const button = make("button", {
          type: "button", class: "toggle", "aria-pressed": String(this[property]),
          onclick: () => { this[property] = !this[property]; refresh(); this.draw(); },
        }, label);
        const refresh = () => button.setAttribute("aria-pressed", String(this[property]));
        place.append(button);
        return refresh;
      };
      group("Images", this.kind.views.map((v) => v[0]), () => this.view[0], (name) => {
        this.view = this.kind.views.find((v) => v[0] === name);
      });
      this.refresh = [];
      if (this.kind.modes) {
        this.refresh.push(group("Mode", ["Wipe", "Flicker"], () => (this.mode === "wipe" ? "Wipe" : "Flicker"),
                                (name) => this.setMode(name.toLowerCase())));
      }
      if (this.kind.toggles) {
        this.refresh.push(toggle("Outlines", "outlines"), toggle("Grid", "grid"));
      }
    }

    setMode(mode) {
      this.mode = mode;
      clearInterval(this.timer);
      if (mode === "flicker") {
        this.timer = setInterval(() => { this.showB = !this.showB; this.draw(); }, 700);
      }
    }

    stage(plane, p) {
      const canvas = make("canvas", { width: plane.width, height: plane.height });
      const knob = make("div", { class: "knob" });
      const tags = [make("span", { class: "tag a" }), make("span", { class: "tag b" })];
      const letters = ["left", "right", "top", "bottom"].map((side, i) => make("b", { class: `b-${side}`, "aria-hidden": "true" }, plane.letters[i]));
      const enlarge = make("button", {
        type: "button", class: "enlarge", "aria-label": `Show the ${plane.name} plane on the whole screen`,
        onclick: () => (document.fullscreenElement ? document.exitFullscreen() : figure.requestFullscreen()),
      }, "\u2922");
      const screen = make("div", { class: "screen", tabindex: "0", role: "slider", "aria-valuemin": "0", "aria-valuemax": "100" },
                          canvas, knob, ...tags, ...letters, enlarge);
      const position = make("span");
      const slider = make("input", {
        type: "range", min: "0", max: String(plane.slices.length - 1), step: "1", value: String(slices[p]),
        "aria-label": `${plane.name} slice`, oninput: () => show(p, Number(slider.value)),
      });
      const figure = make("figure", { class: "stage", style: `flex-grow:${plane.width / plane.height};--aspect:${plane.width / plane.height}` },
                          screen, make("div", { class: "scroller" }, make("span", {}, plane.name), slider, position));
      const drag = (event) => {
        if (!this.view[2] || this.mode !== "wipe") return;
        const box = screen.getBoundingClientRect();
        this.wipe = clamp((event.clientX - box.left) / box.width, 0, 1);
        this.draw();
      };
      screen.addEventListener("pointerdown", (event) => {
        if (event.target === enlarge) return;
        screen.setPointerCapture(event.pointerId);
        drag(event);
      });
      screen.addEventListener("pointermove", (event) => { if (screen.hasPointerCapture(event.pointerId)) drag(event); });
      screen.addEventListener("keydown", (event) => this.key(event, p));
      new ResizeObserver(() => this.drawStage(p)).observe(canvas);
      return { figure, screen, canvas, knob, tags, slider, position };
    }

    key(event, p) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? 0.1 : 0.02;
      const actions = {
        ArrowLeft: () => { this.wipe = clamp(this.wipe - step, 0, 1); },
        ArrowRight: () => { this.wipe = clamp(this.wipe + step, 0, 1); },
        Home: () => { this.wipe = 0; },
        End: () => { this.wipe = 1; },
        ArrowUp: () => show(p, slices[p] + 1),
        ArrowDown: () => show(p, slices[p] - 1),
        f: () => { if (this.kind.modes) this.setMode(this.mode === "wipe" ? "flicker" : "wipe"); },
        " ": () => { this.wipe = this.wipe < 0.5 ? 1 : 0; this.showB = !this.showB; },
        o: () => { if (this.kind.toggles) this.outlines = !this.outlines; },
        g: () => { if (this.kind.toggles) this.grid = !this.grid; },
      };
      const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!action || event.target.tagName === "BUTTON") return;
      event.preventDefault();
      action();
      this.refresh.forEach((refresh) => refresh());
      this.draw();
    }

    draw() { data.planes.forEach((plane, p) => this.drawStage(p)); }

    drawStage(p) {
      if (!this.stages) return;
      const plane = data.planes[p];
      const { screen, canvas, knob, tags, slider, position } = this.stages[p];
      const wide = Math.max(Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)), plane.width);
      const scale = wide / plane.width;
      if (canvas.width !== wide) { canvas.width = wide; canvas.height = Math.round(plane.height * scale); }
      const [, a, b] = this.view;
      const flickers = b && this.mode === "flicker";
      const split = !b ? 1 : flickers ? Number(!this.showB) : this.wipe;
      const context = canvas.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.imageSmoothingQuality = "high";
      context.fillStyle = "#000";
      context.fillRect(0, 0, plane.width, plane.height);
      if (split > 0) this.paint(context, p, a, 0, split, scale);
      if (split < 1) this.paint(context, p, b, split, 1, scale);
      screen.classList.toggle("still", !b || flickers);
      knob.style.display = b && !flickers ? "" : "none";
      knob.style.left = `${100 * split}%`;
      tags[0].textContent = split > 0.02 ? a.label : "";
      tags[1].textContent = b && split < 0.98 ? b.label : "";
      tags.forEach((tag) => { tag.hidden = !tag.textContent; });
      slider.value = String(slices[p]);
      position.textContent = `slice ${plane.slices[slices[p]] + 1} of ${plane.count}`;
      slider.setAttribute("aria-valuetext", position.textContent);
      screen.setAttribute("aria-label", `${plane.name} plane, ${position.textContent}: ${a.label}${b ? " and " + b.label : ""}`);
      screen.setAttribute("aria-valuenow", String(Math.round(100 * split)));
      screen.setAttribute("aria-valuetext", b ? `${Math.round(100 * split)} % ${a.label}` : a.label);
    }

    paint(context, p, which, from, to, scale) {
      const { width, height } = data.planes[p];
      const image = images[p][which.image];
      if (!image.complete) return;
      context.save();
      context.beginPath();
      context.rect(from * width, 0, (to - from) * width, height);
      context.clip();
      context.drawImage(image, 0, slices[p] * height, width, height, 0, 0, width, height);
      context.lineJoin = "round";
      // Lines keep their width on the screen, whatever the size of the image.
      const pixel = (window.devicePixelRatio || 1) / scale;
      const dark = which.image === "jacobian";
      if (this.grid) {
        context.strokeStyle = dark ? "rgb(15 20 28 / .55)" : data.colours.grid;
        context.lineWidth = pixel * 0.9;
        context.stroke(linePath(p, "grid", slices[p]));
      }
      if (this.outlines) {
        for (const name of which.outlines) {
          context.strokeStyle = dark ? "#111" : data.colours[name];
          context.lineWidth = pixel * 1.15;
          context.stroke(linePath(p, name, slices[p]));
        }
      }
      context.restore();
    }
  }

  function show(p, slice) {
    slices[p] = clamp(slice, 0, data.planes[p].slices.length - 1);
    viewers.forEach((viewer) => viewer.drawStage(p));
  }

  document.querySelectorAll(".viewer").forEach((section) => viewers.push(new Viewer(section)));
  Promise.all(images.flatMap((set) => Object.values(set)).map((image) => image.decode())).then(() => {
    viewers.forEach((viewer) => viewer.draw());
    root.dataset.ready = "yes";
  });

  // ---- loss curves: the value under the pointer ------------------------------------------------
  const curves = document.querySelector(".curves");
  if (curves) {
    const points = [...curves.querySelectorAll("polyline")].flatMap((line) => line.getAttribute("points").trim().split(/\s+/).map((text, i) => {
      const [x, y] = text.split(",").map(Number);
      return { x, y, text: `${line.dataset.name}, iteration ${line.dataset.first ? Number(line.dataset.first) + i : i}: loss ${line.dataset.values.split(" ")[i]}` };
    }));
    const readout = document.querySelector(".readout");
    const dot = curves.querySelector("circle");
    const rest = readout.textContent;
    curves.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(curves.getScreenCTM().inverse());
      const nearest = points.reduce((best, point) => (Math.abs(point.x - at.x) < Math.abs(best.x - at.x) ? point : best));
      dot.setAttribute("cx", nearest.x);
      dot.setAttribute("cy", nearest.y);
      dot.style.visibility = "visible";
      readout.textContent = nearest.text;
    });
    curves.addEventListener("pointerleave", () => { dot.style.visibility = "hidden"; readout.textContent = rest; });
  }
})();
