// Lays text out in columns. Pure: rows in, lines out.

/** The gap between columns, in spaces. */
const GAP = 3

/** The header and the rows as lines of equal columns; trailing spaces are cut. Short rows are filled with empty cells. */
export function layOutTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return new Columns(header.length).layOut([header, ...rows])
}

/** Columns of a table whose rows come in several parts: as wide as what has come until then. */
export class Columns {
  #widths: readonly number[]

  constructor(count: number) {
    this.#widths = Array.from({ length: count }, () => 0)
  }

  layOut(rows: readonly (readonly string[])[]): string[] {
    this.#widths = this.#widths.map((width, column) =>
      Math.max(width, ...rows.map((row) => displayWidth(row[column] ?? ''))),
    )
    return rows.map((row) =>
      this.#widths
        .map((width, column) => {
          const cell = row[column] ?? ''
          return cell + ' '.repeat(width - displayWidth(cell) + GAP)
        })
        .join('')
        .trimEnd(),
    )
  }
}

function displayWidth(text: string): number {
  return Array.from(text).length
}
