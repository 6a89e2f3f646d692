// Which program a command line needs. The commands that start often and the services are loaded without the rest, which takes longer to
// load than most of them take to run.

/** `client`: client-program.ts; `service`: service-program.ts; `whole`: program.ts, which has every command. */
export type ProgramKind = 'client' | 'service' | 'whole'

/** What is loaded without the rest, by its first word. */
export const LIGHT_PROGRAMS: Readonly<Record<Exclude<ProgramKind, 'whole'>, readonly string[]>> = {
  client: ['sign', 'unsign', 'verify', 'inspect', 'request'],
  service: ['serve', 'key-holder', 'trust-server'],
}

/** By the first word; options before the command, help and everything else get the whole program. Every program knows its version. */
export function programKindOf(argv: readonly string[]): ProgramKind {
  const command = argv[0] ?? ''
  if (argv.length === 1 && command === '--version') return 'service'
  if (LIGHT_PROGRAMS.client.includes(command)) return 'client'
  return LIGHT_PROGRAMS.service.includes(command) ? 'service' : 'whole'
}
