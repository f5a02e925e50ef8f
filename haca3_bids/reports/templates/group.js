const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const column = Object.fromEntries(data.columns.map((name, index) => [name, index]));
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f"];
const SHAPES = ["circle", "square", "triangle", "diamond"];
const ORDER = { pass: 0, look: 1, fail: 2 };
const PAGE = 100;
let sorted = { name: "verdict", down: true };
let limit = PAGE;
let spots = [];

const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
const address = (row) => `${encodeURIComponent(row[column.participant])}.html#${encodeURIComponent(row[column.session] || "ses-only")}`;
const shown = (value) => (value === null ? "–" : typeof value === "number" ? String(Number(value.toPrecision(3))) : value);

function rows() {
  const words = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdict = find("verdict").value;
  const kept = data.rows.filter((row) => {
    if (verdict && row[column.verdict] !== verdict) return false;
    if (!words.length) return true;
    const text = row.join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const at = column[sorted.name];
  const key = sorted.name === "verdict" ? (row) => ORDER[row[at]] : (row) => row[at];
  const sign = sorted.down ? -1 : 1;
  return kept.sort((one, other) => {
    const a = key(one), b = key(other);
    if (a === null || b === null) return (a === null) - (b === null);
    if (a === b) return (other[column.distance] || 0) - (one[column.distance] || 0);
    return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  });
}

function head() {
  const line = make("tr");
  for (const name of data.columns) {
    const cell = make("th", undefined, data.numbers.includes(name) ? "number" : "");
    cell.scope = "col";
    const button = make("button", name.replaceAll("_", " ") + (name === sorted.name ? (sorted.down ? " ▾" : " ▴") : ""));
    button.type = "button";
    cell.setAttribute("aria-sort", name === sorted.name ? (sorted.down ? "descending" : "ascending") : "none");
    button.addEventListener("click", () => {
      sorted = { name, down: name === sorted.name ? !sorted.down : data.numbers.includes(name) || name === "verdict" };
      table();
    });
    cell.append(button);
    line.append(cell);
  }
  find("sessions").tHead.replaceChildren(line);
}

function table() {
  head();
  const kept = rows();
  const lines = kept.slice(0, limit).map((row) => {
    const line = make("tr");
    row.forEach((value, index) => {
      const name = data.columns[index];
      const cell = make("td", undefined, data.numbers.includes(name) ? "number" : name);
      if (name === "participant") {
        const link = make("a", value);
        link.href = address(row);
        cell.append(link);
      } else if (name === "verdict") cell.append(make("span", value, `badge ${value}`));
      else cell.textContent = shown(value);
      line.append(cell);
    });
    return line;
  });
  find("sessions").tBodies[0].replaceChildren(...lines);
  find("count").textContent = `${kept.length} of ${data.rows.length} sessions`;
  find("more").hidden = kept.length <= limit;
}

function groupsOf(name) {
  const values = [...new Set(data.rows.map((row) => String(row[column[name]])))];
  return values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
}

function mark(context, shape, x, y, size) {
  context.beginPath();
  if (shape === "circle") context.arc(x, y, size, 0, 7);
  else if (shape === "square") context.rect(x - size, y - size, 2 * size, 2 * size);
  else {
    const corners = shape === "triangle" ? [[0, -1.3], [1.2, 1], [-1.2, 1]] : [[0, -1.4], [1.3, 0], [0, 1.4], [-1.3, 0]];
    corners.forEach(([dx, dy], index) => (index ? context.lineTo : context.moveTo).call(context, x + dx * size, y + dy * size));
    context.closePath();
  }
  context.fill();
}

function plane(id, points, which, range, style) {
  const canvas = find(id), context = canvas.getContext("2d");
  const ink = getComputedStyle(document.body).getPropertyValue("--soft");
  const width = canvas.width, height = canvas.height, margin = 70;
  const across = (x) => margin + ((x - range[0]) / (range[1] - range[0])) * (width - 2 * margin);
  const up = (y) => height - margin - ((y - range[2]) / (range[3] - range[2])) * (height - 2 * margin);
  const tick = (end, other) => range[end].toFixed(Math.abs(range[end] - range[other]) > 5 ? 1 : 2);
  context.clearRect(0, 0, width, height);
  context.textAlign = "left";
  context.strokeStyle = context.fillStyle = ink;
  context.font = "22px system-ui, sans-serif";
  context.strokeRect(margin, margin / 2, width - 2 * margin + margin / 2, height - 1.5 * margin);
  context.fillText(tick(0, 1), margin, height - 40);
  context.fillText(tick(1, 0), width - margin - 30, height - 40);
  context.fillText(tick(2, 3), 8, height - margin);
  context.fillText(tick(3, 2), 8, margin);
  context.textAlign = "center";
  context.fillText(data.axes[0], width / 2, height - 12);
  context.save();
  context.translate(30, height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(data.axes[1], 0, 0);
  context.restore();
  const size = points.length > 1500 ? 4 : points.length > 200 ? 6 : 9;
  context.globalAlpha = points.length > 1500 ? 0.5 : 0.8;
  let count = 0;
  for (const point of points) {
    const theta = point[which];
    if (!theta) continue;
    const [colour, shape] = style(data.rows[point[0]]);
    const x = across(theta[0]), y = up(theta[1]);
    context.fillStyle = colour;
    mark(context, shape, x, y, size);
    spots.push([id, x, y, point[0]]);
    count += 1;
  }
  context.globalAlpha = 1;
  canvas.setAttribute("aria-label", `Contrast of ${count} images (${data.axes.join(", ")}), ${which === 1 ? "before" : "after"} harmonization`);
  if (!count) {
    context.fillStyle = ink;
    context.fillText("unknown", width / 2, height / 2);
  }
}

function planes() {
  const points = data.points[find("contrast").value] || [];
  const by = find("colour").value;
  const groups = by ? groupsOf(by) : [];
  const look = (name) => {
    const index = Math.max(0, groups.indexOf(String(name)));
    return [COLOURS[index % COLOURS.length], SHAPES[Math.floor(index / COLOURS.length) % SHAPES.length]];
  };
  const style = (row) => look(row[column[by]]);
  const all = points.flatMap((point) => [point[1], point[2]]).filter(Boolean);
  const range = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of all) {
    range[0] = Math.min(range[0], x);
    range[1] = Math.max(range[1], x);
    range[2] = Math.min(range[2], y);
    range[3] = Math.max(range[3], y);
  }
  const room = [0.05 * (range[1] - range[0]) || 1, 0.05 * (range[3] - range[2]) || 1];
  const wide = [range[0] - room[0], range[1] + room[0], range[2] - room[1], range[3] + room[1]];
  spots = [];
  plane("before", points, 1, wide, style);
  plane("after", points, 2, wide, style);
  const keys = groups.slice(0, 40).map((name) => {
    const [colour, shape] = look(name);
    const key = make("span", undefined, "key");
    const swatch = make("span", { circle: "●", square: "■", triangle: "▲", diamond: "◆" }[shape], "swatch");
    swatch.style.color = colour;
    swatch.setAttribute("aria-hidden", "true");
    key.append(swatch, document.createTextNode(name));
    return key;
  });
  find("legend").replaceChildren(...keys);
}

function nearest(event) {
  const canvas = event.currentTarget, box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * canvas.width;
  const y = ((event.clientY - box.top) / box.height) * canvas.height;
  let best = null, least = 400;
  for (const [id, sx, sy, index] of spots) {
    const far = (sx - x) ** 2 + (sy - y) ** 2;
    if (id === canvas.id && far < least) [best, least] = [index, far];
  }
  return best === null ? null : data.rows[best];
}

function choices(id, names, chosen) {
  find(id).replaceChildren(...names.map((name) => make("option", name)));
  if (names.includes(chosen)) find(id).value = chosen;
}

choices("contrast", Object.keys(data.points));
choices("colour", ["verdict", ...data.groups], data.colour);
for (const id of ["contrast", "colour"]) find(id).addEventListener("change", planes);
for (const id of ["filter", "verdict"]) find(id).addEventListener("input", () => { limit = PAGE; table(); });
find("more").addEventListener("click", () => { limit += PAGE; table(); });
for (const id of ["before", "after"]) {
  find(id).addEventListener("mousemove", (event) => {
    const row = nearest(event);
    find("pointed").textContent = row ? `${row[0]} ${row[1]}: ${row[2]} ${row[3]}` : "\u00a0";
  });
  find(id).addEventListener("click", (event) => {
    const row = nearest(event);
    if (row) location.href = address(row);
  });
}
table();
planes();
document.body.dataset.ready = String(Math.round(performance.now()));
