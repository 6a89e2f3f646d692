// One row of the table of problems: how an error with a public code is answered.

/** How one code is answered, and what the reader is told. */
export interface ProblemRow {
  /** The HTTP status. A row with 500 shows neither message nor facts. */
  readonly status: number
  /** What is wrong, the same for every occurrence. */
  readonly title: string
  /** What to do next. */
  readonly next: string
  /** Whether the same request can succeed later without anybody changing anything. */
  readonly retry: boolean
}

/** A row whose request can never succeed as it is. */
export function refuse(status: number, title: string, next: string): ProblemRow {
  return { status, title, next, retry: false }
}

/** A row whose request may succeed when it is sent again. */
export function retry(status: number, title: string, next: string): ProblemRow {
  return { status, title, next, retry: true }
}
