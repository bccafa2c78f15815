// A click on a column's head sorts the body of its table, by number where cells begin with one; cells without go last.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = (row) => row.cells[column].textContent.trim();
    const number = (text) => parseFloat(text.replace(/^< /, ""));
    const compare = (a, b) => {
      const [x, y] = [number(key(a)), number(key(b))];
      if (column === 0) return (ascending ? 1 : -1) * key(a).localeCompare(key(b));
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return (ascending ? 1 : -1) * (x - y);
    };
    body.append(...[...body.rows].sort(compare));
  });
}
