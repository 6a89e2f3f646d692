// Lays text out in columns. Pure: rows in, lines out.

/** The gap between columns, in spaces. */
const GAP = 3

/** The header and the rows as lines of equal columns; trailing spaces are cut. Short rows are filled with empty cells. */
export function layOutTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, column) =>
    Math.max(displayWidth(title), ...rows.map((row) => displayWidth(row[column] ?? ''))),
  )
  return [header, ...rows].map((row) =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? ''
        return cell + ' '.repeat(width - displayWidth(cell) + GAP)
      })
      .join('')
      .trimEnd(),
  )
}

function displayWidth(text: string): number {
  return Array.from(text).length
}
