// The process log: JSON lines for operators. IDs, codes, versions and digests; never keys, passphrases or request bodies.
// The audit log is another thing.
import { destination, pino, stdTimeFunctions } from 'pino'

export interface ProcessLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export const silentLog: ProcessLog = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export function createProcessLog(level: string): ProcessLog {
  const options = {
    level,
    base: { process: 'key-holder' },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: describe },
  }
  // Each line is written before the call returns: the last ones before a crash are those that explain it.
  return pino(options, destination({ dest: process.stdout.fd, sync: true }))
}

function describe(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return { name: typeof thrown }
  const { name, message, stack, cause } = thrown
  return {
    name,
    message,
    ...('code' in thrown && { code: thrown.code }),
    ...('facts' in thrown && { facts: thrown.facts }),
    stack,
    ...(cause instanceof Error && { cause: `${cause.name}: ${cause.message}` }),
  }
}
