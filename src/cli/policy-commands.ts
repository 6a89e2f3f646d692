// `policy check` and `policy explain`: whether a policy folder is sound, and what would happen under the one in force.
import type { Command } from 'commander'
import * as z from 'zod'
import { readStrictYaml } from '../strict-yaml.ts'
import { requireTag } from '../domain/image-reference.ts'
import { printDuration } from '../config/units.ts'
import { faultyFolder, readFolderFiles } from '../policy/folder-files.ts'
import { readPolicyFolder } from '../policy/policy-folder.ts'
import type { SigningPolicy } from '../policy/project-file.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { readPublicFile } from './files.ts'
import { listImages } from './image-list/list.ts'
import { approvalsOf } from './request-review.ts'
import { policyExplanationSchema } from './resources.ts'
import type { Perform, Session } from './session.ts'

const MAX_IDENTITY_BYTES = 64 * 1024

interface ExplainOptions {
  readonly policy?: string
  readonly unsign?: boolean
  readonly identity?: string
  readonly from?: string
}

export function addPolicyCommands(program: Command, perform: Perform): void {
  const group = program
    .command('policy')
    .summary('check and explain signing policies')
    .description('Signing policies: files under version control that say who may sign what.')

  group
    .command('check')
    .description('Checks a policy folder, and names every fault with its file and setting. Works without a server.')
    .argument('<folder>', 'the folder that policies.folder of the configuration names')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign policy check config/policies

Exit status: 0 sound; 1 at least one fault; 2 usage.`,
    )
    .action((folder: string, _options: object, command: Command) =>
      perform(command, (session) => Promise.resolve(check(session, folder))),
    )

  group
    .command('explain')
    .description(
      'Says what would happen if these images were asked for now, and why. Asks for nothing and signs nothing.',
    )
    .argument('[images...]', 'image references with tags')
    .option('--from <file>', 'read images from a list, one per line; - reads standard input')
    .option('--policy <name>', 'the signing policy to apply')
    .option('--unsign', 'as if the tags were to lose their signature')
    .option('--identity <file>', 'another identity than your own: id, groups, origin, grants (YAML); for operators')
    .addHelpText(
      'after',
      `
Examples:
  $ countersign policy explain registry.example.com/team/app:1.4@sha256:0f3c... --policy release
  $ countersign policy explain registry.example.com/team/app:1.4 --identity pipeline.yaml

Exit status: 0 it would be signed, after its approvals; 1 failed; 2 usage; 3 it would be denied.`,
    )
    .action((images: string[], options: ExplainOptions, command: Command) =>
      perform(command, (session) => explain(session, images, options)),
    )
}

function check({ output }: Session, folder: string): ExitStatus {
  const read = readPolicyFolder(readFolderFiles(folder).files)
  if (!read.ok) throw faultyFolder(folder, read.faults)
  const { projects, digest } = read
  output.document({ valid: true, digest, projects })
  output.table(
    ['PROJECT', 'POLICY', 'TAGS', 'SUBMITTERS', 'APPROVALS', 'ORIGIN', 'LIFETIME'],
    projects.flatMap(({ project, default: named, policies }) =>
      Object.entries(policies).map(([name, policy]) => [
        project,
        name === named ? `${name} (default)` : name,
        policy.tags.join(' '),
        policy.submitters.join(' '),
        ...rulesOf(policy),
      ]),
    ),
  )
  output.line()
  output.line(`${folder} is sound. Digest: ${digest}`)
  return EXIT.done
}

function rulesOf({ approvals, origin, lifetime }: SigningPolicy): readonly string[] {
  return [
    approvals === undefined ? '-' : `${approvals.required} of ${approvals.from.join(' ')}`,
    origin === undefined ? '-' : `repositories ${origin.repositoryIds.join(' ')}`,
    approvals === undefined ? '-' : printDuration(lifetime),
  ]
}

async function explain(session: Session, images: readonly string[], options: ExplainOptions): Promise<ExitStatus> {
  const references = (await listImages(session.terminal, images, options.from)).map(requireTag)
  const identity = options.identity === undefined ? undefined : await readIdentity(options.identity)
  const api = await session.api()
  const explanation = await api.call({
    method: 'POST',
    path: 'v1/policy-explanations',
    body: {
      kind: options.unsign === true ? 'unsign' : 'sign',
      images: references.map(({ text }) => text),
      ...(options.policy !== undefined && { policy: options.policy }),
      ...(identity !== undefined && { identity }),
    },
    answer: policyExplanationSchema,
  })
  const { output } = session
  output.document(explanation)
  for (const { reference, decision } of explanation.images) {
    const isDenied = decision.outcome === 'deny'
    output.line(`${reference}: ${isDenied ? 'denied' : 'allowed'}`, isDenied ? 'red' : 'green')
    output.line(
      `  project ${decision.project ?? '-'}, policy ${decision.policy ?? '-'}, rules ${decision.policyDigest ?? '-'}`,
    )
    output.line(`  approvals: ${approvalsOf({ decision, reference, gun: '', status: '' })}`)
    for (const { rule, code } of decision.reasons) output.line(`  ${rule.padEnd(20)} ${code}`)
  }
  return explanation.outcome === 'deny' ? EXIT.denied : EXIT.done
}

/** Checked by the server; here only that it is a document. @throws CliError FILE_UNREADABLE, USAGE_INVALID */
async function readIdentity(file: string): Promise<Readonly<Record<string, unknown>>> {
  const read = readStrictYaml((await readPublicFile(file, MAX_IDENTITY_BYTES)).toString('utf8'))
  const parsed = z.record(z.string(), z.unknown()).safeParse(read.ok ? read.value : undefined)
  if (parsed.success) return parsed.data
  throw new CliError('USAGE_INVALID', `The file ${file} does not describe an identity.`, {
    next: 'Write id, groups, origin and grants as YAML; docs/policies.md has an example.',
  })
}
