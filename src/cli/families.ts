// The commands by their first words, each family in modules that are loaded when one of them is called: a command starts without what the
// others need. The order is that of the help.
import { ownArguments } from './docker-plugin/protocol.ts'
import type { AddCommands } from './run-program.ts'

export interface Family {
  /** First words of its command lines. */
  readonly words: readonly string[]
  load(): Promise<AddCommands>
}

/** Of who asks a service. They need no package that is not bundled, and no database. */
export const CLIENT_FAMILIES: readonly Family[] = [
  { words: ['push'], load: async () => (await import('./docker-plugin/push-command.ts')).addPushCommand },
  { words: ['pull'], load: async () => (await import('./docker-plugin/pull-command.ts')).addPullCommand },
  { words: ['sign', 'unsign'], load: async () => (await import('./sign-commands.ts')).addSignCommands },
  { words: ['promote'], load: async () => (await import('./promote-command.ts')).addPromoteCommand },
  { words: ['prune'], load: async () => (await import('./prune-command.ts')).addPruneCommand },
  { words: ['verify'], load: async () => (await import('./verify-command.ts')).addVerifyCommand },
  { words: ['inspect'], load: async () => (await import('./inspect-command.ts')).addInspectCommand },
  { words: ['request'], load: async () => (await import('./request-family.ts')).addRequestFamily },
  { words: ['doctor'], load: async () => (await import('./doctor/command.ts')).addDoctorCommands },
  { words: ['pin'], load: async () => (await import('./pins/command.ts')).addPinCommands },
  { words: ['repo'], load: async () => (await import('./repository-family.ts')).addRepositoryFamily },
  { words: ['key'], load: async () => (await import('./key-commands.ts')).addKeyCommands },
  { words: ['root'], load: async () => (await import('./root-commands.ts')).addRootCommands },
  { words: ['token'], load: async () => (await import('./token-commands.ts')).addTokenCommands },
  { words: ['login'], load: async () => (await import('./login-command.ts')).addLoginCommand },
  { words: ['policy'], load: async () => (await import('./policy-commands.ts')).addPolicyCommands },
  { words: ['approver'], load: async () => (await import('./approver-commands.ts')).addApproverCommands },
  { words: ['webhook'], load: async () => (await import('./webhook-commands.ts')).addWebhookCommands },
  { words: ['audit'], load: async () => (await import('./audit-commands.ts')).addAuditCommands },
  { words: ['unseal', 'seal'], load: async () => (await import('./seal-commands.ts')).addSealCommands },
]

/** The family of the first word of our own; all of them where that is none of theirs: help, options before the command, a mistake. */
export function familiesFor(argv: readonly string[], families: readonly Family[]): readonly Family[] {
  const [word = ''] = ownArguments(argv)
  const family = families.find(({ words }) => words.includes(word))
  return family === undefined ? families : [family]
}

/** What gives a program the commands of these families. */
export async function commandsOf(families: readonly Family[]): Promise<AddCommands> {
  const adders = await Promise.all(families.map((family) => family.load()))
  return (program, perform) => {
    for (const add of adders) add(program, perform)
  }
}
