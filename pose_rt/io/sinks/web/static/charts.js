// Small charts of the last minute, drawn on canvases in device pixels.

const SPAN = 240; // reports: a minute at four a second
const TICKS = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 30000, 60000];

export class LineChart {
  // series: [{ key, label, colour, width?, dash?, area?, bars? }]
  constructor(canvas, legend, series) {
    this.canvas = canvas;
    this.series = series;
    this.rows = [];
    this.readings = series.map(({ label, colour }) => {
      const item = document.createElement("span");
      const mark = document.createElement("i");
      const value = document.createElement("b");
      mark.style.background = colour;
      item.append(mark, `${label} `, value);
      legend.append(item);
      return value;
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  add(row) {
    this.rows.push(row);
    if (this.rows.length > SPAN) this.rows.shift();
    this.series.forEach(({ key, digits = 0, total }, s) => {
      const value = total ? row[total] : row[key];
      this.readings[s].textContent = value === undefined || value === null ? "–" : value.toFixed(digits);
    });
    this.draw();
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (width < 20 || height < 20) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const c = this.canvas.getContext("2d");
    c.scale(ratio, ratio);
    const [left, right, top, bottom] = [34, width - 2, 8, height - 18];
    // One outlier, such as the first picture, must not flatten everything else for a minute: what stands out is cut off.
    const values = this.rows.flatMap((row) => this.series.map(({ key }) => row[key] ?? 0)).sort((a, b) => a - b);
    const highest = Math.max(1, values[Math.floor(0.97 * (values.length - 1))] ?? 1);
    const step = TICKS.find((tick) => highest / tick <= 4) ?? TICKS.at(-1);
    const limit = Math.ceil((highest * 1.1) / step) * step;
    const y = (value) => bottom - (Math.min(value, limit) / limit) * (bottom - top);
    const x = (index) => right - ((this.rows.length - 1 - index) / (SPAN - 1)) * (right - left);
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    c.textAlign = "right";
    c.lineWidth = 1;
    for (let value = 0; value <= limit + 1e-6; value += step) {
      c.strokeStyle = value === 0 ? "#4a525e" : "#2d333d";
      c.beginPath();
      c.moveTo(left, Math.round(y(value)) + 0.5);
      c.lineTo(right, Math.round(y(value)) + 0.5);
      c.stroke();
      c.fillStyle = "#8b95a2";
      c.fillText(String(value), left - 6, y(value));
    }
    c.textBaseline = "alphabetic";
    for (const [seconds, align] of [[60, "left"], [30, "center"], [0, "right"]]) {
      c.textAlign = align;
      c.fillText(seconds ? `${seconds} s ago` : "now", right - (seconds / 60) * (right - left), height - 3);
    }
    for (const one of this.series) this.drawSeries(c, one, x, y);
  }

  drawSeries(c, { key, colour, width = 1.75, dash = [], area, bars }, x, y) {
    c.strokeStyle = c.fillStyle = colour;
    if (bars) {
      const wide = Math.max(1, x(1) - x(0));
      this.rows.forEach((row, index) => {
        if (row[key] > 0) c.fillRect(x(index) - wide, y(row[key]), wide, y(0) - y(row[key]));
      });
      return;
    }
    c.lineWidth = width;
    c.lineJoin = "round";
    c.setLineDash(dash);
    c.beginPath();
    let [down, first, last] = [false, null, null];
    this.rows.forEach((row, index) => {
      const value = row[key];
      if (value === undefined || value === null) {
        down = false;
        return;
      }
      if (down) c.lineTo(x(index), y(value));
      else c.moveTo(x(index), y(value));
      down = true;
      first ??= x(index);
      last = x(index);
    });
    c.stroke();
    c.setLineDash([]);
    if (area && first !== null) {
      c.lineTo(last, y(0));
      c.lineTo(first, y(0));
      c.globalAlpha = 0.12;
      c.fill();
      c.globalAlpha = 1;
    }
  }
}

// Mean time of each stage as bars on one scale.
export function showStages(box, stages) {
  const entries = Object.entries(stages);
  if (box.childElementCount !== entries.length) {
    box.replaceChildren(...entries.map(() => {
      const row = document.createElement("div");
      row.className = "stage";
      row.innerHTML = '<span></span><div><svg viewBox="0 0 100 1" preserveAspectRatio="none"><rect height="1" fill="#56b4e9"/></svg></div><span></span>';
      return row;
    }));
  }
  const longest = Math.max(1, ...entries.map(([, ms]) => ms));
  entries.forEach(([name, ms], e) => {
    const [label, bar, value] = box.children[e].children;
    label.textContent = name;
    bar.querySelector("rect").setAttribute("width", String((100 * ms) / longest));
    value.textContent = ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
  });
}
