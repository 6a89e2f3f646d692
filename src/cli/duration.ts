// Durations on the command line are written as in the configuration: a whole number and a unit.
import { Option } from 'commander'
import { parseDuration } from '../config/units.ts'
import { CliError } from './errors.ts'

/** Milliseconds of `500ms`, `90s`, `10m`, `1h`, `30d`. @throws CliError DURATION_INVALID */
export function durationOption(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds !== undefined) return milliseconds
  throw new CliError('DURATION_INVALID', `"${text.slice(0, 40)}" is not a duration.`, {
    next: 'Write a whole number and a unit: 500ms, 90s, 10m, 1h, 30d.',
  })
}

/** `--timeout` of commands that wait for a request; the default is ten minutes. */
export function timeoutOption(): Option {
  return new Option('--timeout <duration>', 'how long to wait, such as 90s, 10m or 1h')
    .argParser(durationOption)
    .default(600_000, '10m')
}
