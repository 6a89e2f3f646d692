// Durations and sizes as people write them. Pure. A bare number is refused: nobody knows its unit.
import * as z from 'zod'

const MILLISECONDS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const

const DURATION = /^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$/
const DURATION_FORM = 'a duration with a unit, as 500ms, 5s, 2m or 1h'
const SIZE = /^(0|[1-9][0-9]{0,8})(B|KiB|MiB|GiB)$/

/** Milliseconds of `500ms`, `5s`, `2m`, `1h`, `7d`; undefined where the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text)
  if (match?.[1] === undefined) return undefined
  return Number(match[1]) * MILLISECONDS[match[2] as keyof typeof MILLISECONDS]
}

/** Bytes of `512B`, `16KiB`, `4MiB`, `1GiB`; undefined where the text is no size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text)
  if (match?.[1] === undefined) return undefined
  return Number(match[1]) * BYTES[match[2] as keyof typeof BYTES]
}

/** `5m` of 300000: the largest unit that divides it. */
export function printDuration(milliseconds: number): string {
  return printUnit(milliseconds, MILLISECONDS)
}

/** `4MiB` of 4194304: the largest unit that divides it. */
export function printSize(bytes: number): string {
  return printUnit(bytes, BYTES)
}

/** A duration setting between `min` and `max`, themselves durations. Its parsed value is in milliseconds. */
export function duration(min: string, max: string): z.ZodType<number, string> {
  return measure('duration', DURATION_FORM, DURATION, parseDuration, min, max)
}

/** The same, or `0s` for never. */
export function intervalOrNever(min: string, max: string): z.ZodType<number, string> {
  return measure('duration: 0s (never), or', DURATION_FORM, DURATION, parseDuration, min, max, 0)
}

/** A size setting between `min` and `max`, themselves sizes. Its parsed value is in bytes. */
export function size(min: string, max: string): z.ZodType<number, string> {
  return measure('size', 'a size with a unit, as 512B, 16KiB or 4MiB', SIZE, parseSize, min, max)
}

function measure(
  what: string,
  form: string,
  pattern: RegExp,
  parse: (text: string) => number | undefined,
  min: string,
  max: string,
  besides?: number,
): z.ZodType<number, string> {
  const lowest = parse(min) ?? 0
  const highest = parse(max) ?? 0
  const isWithin = (value: number): boolean => (value >= lowest && value <= highest) || value === besides
  return z
    .string(`must be ${form}`)
    .regex(pattern, { error: `must be ${form}`, abort: true })
    .refine((text) => isWithin(parse(text) ?? -1), {
      error: `must be a ${what} between ${min} and ${max}`,
      abort: true,
    })
    .transform((text) => parse(text) ?? 0)
}

function printUnit(value: number, units: Readonly<Record<string, number>>): string {
  const fitting = Object.entries(units).filter(([, factor]) => value % factor === 0)
  const [unit, factor] = fitting.at(-1) ?? ['', 1]
  return value === 0 ? `0${Object.keys(units)[0] ?? ''}` : `${value / factor}${unit}`
}
