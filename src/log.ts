// The log: one JSON line per event on standard output, times in UTC (RFC 3339). It is for operators; the audit log is another thing.
// Never pass request bodies, headers or key material. Secrets print as a mark, and names that suggest one are redacted as well.
import { destination as pinoDestination, type DestinationStream, pino, stdTimeFunctions } from 'pino'
import { SECRET_MARK } from './config/secret.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** What a line may say beside its message: IDs, codes, versions, digests, times. */
export type LogFacts = Readonly<Record<string, unknown>>

export interface Log {
  debug(facts: LogFacts, message: string): void
  info(facts: LogFacts, message: string): void
  warn(facts: LogFacts, message: string): void
  error(facts: LogFacts, message: string): void
  /** A log whose lines all carry these facts too. */
  with(facts: LogFacts): Log
}

const REDACTED = ['token', 'secret', 'password', 'passphrase', 'authorization', 'cookie', 'privateKey', 'pin']

/** How deep an error's causes are followed. */
const MAX_CAUSES = 5

/** A log at `level`, to standard output unless a test gives another destination. */
export function createLog(level: LogLevel, destination?: DestinationStream): Log {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: describeError },
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: SECRET_MARK },
  }
  if (destination !== undefined) return wrap(pino(options, destination))
  // Whoever reads slowly holds up nobody who signs. Warnings and errors are written, with all before them, before the call returns,
  // and everything is at the end of the process: the last lines before a crash are those that explain it.
  const output = pinoDestination({ dest: process.stdout.fd, sync: false })
  return wrap(pino(options, output), () => {
    output.flushSync()
  })
}

/** A log that says nothing. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silentLog,
}

/** Name, code, facts, message, stack and causes of what was thrown, as plain data. */
export function describeError(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return { name: typeof thrown }
  const { name, message, stack, cause } = thrown
  return {
    name,
    ...('code' in thrown && { code: thrown.code }),
    ...('facts' in thrown && { facts: thrown.facts }),
    message,
    stack,
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: describeError(cause, depth + 1) }),
  }
}

interface Lines {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
  child(facts: object): Lines
}

function wrap(lines: Lines, flush: () => void = () => undefined): Log {
  return {
    debug: (facts, message) => {
      lines.debug(facts, message)
    },
    info: (facts, message) => {
      lines.info(facts, message)
    },
    warn: (facts, message) => {
      lines.warn(facts, message)
      flush()
    },
    error: (facts, message) => {
      lines.error(facts, message)
      flush()
    },
    with: (facts) => wrap(lines.child(facts), flush),
  }
}
