// Which program a command line needs. The commands that start often and the services are loaded without the rest, which takes longer to
// load than most of them take to run.
import { ownArguments } from './docker-plugin/protocol.ts'

/** `client`: client-program.ts; `service`: service-program.ts; `whole`: program.ts, which has every command. */
export type ProgramKind = 'client' | 'service' | 'whole'

/** What is loaded without the rest, by its first word. */
export const LIGHT_PROGRAMS: Readonly<Record<Exclude<ProgramKind, 'whole'>, readonly string[]>> = {
  client: ['sign', 'unsign', 'verify', 'inspect', 'request'],
  service: ['serve', 'key-holder', 'trust-server'],
}

/** By the first word of our own; options before the command, help and everything else get the whole program. */
export function programKindOf(argv: readonly string[]): ProgramKind {
  const command = ownArguments(argv)[0] ?? ''
  if (LIGHT_PROGRAMS.client.includes(command)) return 'client'
  return LIGHT_PROGRAMS.service.includes(command) ? 'service' : 'whole'
}
