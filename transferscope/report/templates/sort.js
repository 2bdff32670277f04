// Sorts and filters tables that are complete without it. Rows keep to their band: the best set stays on top.
(() => {
  const units = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, ms: 1e-3, s: 1, min: 60, h: 3600 };
  const read = (text) => {
    const plain = text.replace(/\u2212/g, "-").replace(/\u202f/g, "").trim();
    const found = /^(above |below )?(-?\d[\d.]*(?:e[+-]?\d+)?)[\s\u00a0]*([a-zA-Z]+)?/.exec(plain);
    if (!found) return null;
    const edge = found[1] ? (found[1] === "above " ? 0.5 : -0.5) : 0;
    return (Number(found[2]) + edge) * (units[found[3]] || 1);
  };
  const value = (row, column, numeric) => {
    const cell = row.cells[column];
    const text = (column ? cell : cell.querySelector(".name")).textContent.trim();
    return numeric ? read(text) : text.toLowerCase();
  };
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);  // what is missing comes last either way
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
  };
  const isRow = (row) => !row.querySelector(".group");
  const order = (table, column, numeric, sign) => {
    for (const body of table.tBodies) {
      const rows = body.given || (body.given = [...body.rows].filter(isRow));
      const sorted = sign
        ? rows.map((row) => [value(row, column, numeric), row]).sort((a, b) => compare(a[0], b[0], sign))
        : rows.map((row) => [0, row]);
      body.append(...sorted.map((pair) => pair[1]));
    }
  };
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const numeric = head.classList.contains("n");
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = numeric ? "descending" : "ascending";
        const next = { [first]: numeric ? "ascending" : "descending", none: first };
        const now = next[head.getAttribute("aria-sort") || "none"] || "none";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (now !== "none") head.setAttribute("aria-sort", now);
        order(table, column, numeric, { ascending: 1, descending: -1, none: 0 }[now]);
      });
    });
  };
  const filterable = (table, place) => {
    const box = document.createElement("div"), label = document.createElement("label");
    const input = document.createElement("input"), said = document.createElement("span");
    box.className = "filter";
    said.setAttribute("role", "status");
    input.type = "search";
    input.id = "filter-" + place;
    label.htmlFor = input.id;
    label.textContent = "Show rows with";
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0, all = 0;
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter(isRow);
        for (const row of rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
          shown += !row.hidden;
          all += 1;
        }
        body.hidden = rows.every((row) => row.hidden);
      }
      said.textContent = words.length ? shown + " of " + all + " rows" : "";
    });
    box.append(label, " ", input, " ", said);
    table.parentNode.before(box);
  };
  document.querySelectorAll("table.sortable").forEach((table, place) => {
    sortable(table);
    if (table.querySelectorAll("tbody tr").length > 5) filterable(table, place);
  });
})();
