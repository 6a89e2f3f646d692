// docs/errors.md, made from the table of problems. Pure; a test holds the file against it.
import type { ConfigErrorCode } from '../config/errors.ts'
import { PROBLEM_LAYERS } from './problem.ts'
import type { ProblemRow } from './problems/row.ts'
import { STRICTER_THAN_DOCKER } from './stricter.ts'

/** Codes that stop the start. They are said on standard error and never travel over HTTP. */
const START_PROBLEMS = {
  CONFIG_UNREADABLE: ['The configuration file cannot be read', 'Check its path and mode.'],
  POLICY_INVALID: [
    'The policy folder holds faults',
    'Correct every fault that is listed with its file and setting; `countersign policy check` says the same.',
  ],
  CONFIG_INVALID: ['The configuration is not valid', 'Correct every fault that is listed with its path.'],
  SECRET_FILE_UNREADABLE: ['A secret file cannot be opened', 'Check its path, owner and mode.'],
  SECRET_FILE_EXPOSED: [
    'Others can read or replace a secret file',
    'chmod 600 FILE, and consider the secret as known to others.',
  ],
  SECRET_FILE_MALFORMED: ['A secret file does not hold one secret', 'Write exactly one line of text into it.'],
  FIRST_START_REFUSED: [
    'The data folder is not empty, but holds no database',
    'Check the path and the mount; restore a backup.',
  ],
  DATA_FOLDER_EXPOSED: ['Others can write the data folder', 'chmod 700 FOLDER, and check its owner.'],
  KEY_HOLDER_NOT_STARTED: ['The supervised key holder does not come up', 'Its own lines in the log say why.'],
  TRUST_SERVER_NOT_STARTED: [
    'The supervised trust server does not come up',
    'Its own lines in the log say why. Where its port is taken: TRUST_SERVER_HTTP__LISTEN=127.0.0.1:PORT.',
  ],
} as const satisfies Record<ConfigErrorCode, readonly [title: string, next: string]>

const INTRODUCTION = `# Errors

Generated from \`src/http/problem.ts\`; a test fails where this page is not current.

A code is stable: it is never reused and never changes its meaning. Over HTTP it stands in \`code\` of a problem document (RFC 9457,
\`application/problem+json\`) beside \`title\`, \`detail\`, \`next\` (what to do), \`retry\` (whether the same request can succeed later
without anybody changing anything), \`requestId\` (the line in the log), \`facts\`, and \`errors\` with the members that are wrong. The same
codes stand in \`images[].error\` of signing requests and verifications. With status 500 nothing from inside is shown.

The command line's own codes are in [cli.md](cli.md).
`

/** The whole page. */
export function errorsMarkdown(): string {
  const layers = Object.entries(PROBLEM_LAYERS).map(([title, rows]) => section(title, rows))
  const start = Object.entries(START_PROBLEMS).map(([code, [title, next]]) => `| \`${code}\` | ${title}. | ${next} |`)
  return [
    INTRODUCTION,
    ...layers,
    stricter(),
    ['## Start', '', '| code | what is wrong | what to do next |', '|---|---|---|', ...start, ''].join('\n'),
  ].join('\n')
}

function stricter(): string {
  const lines = Object.entries(STRICTER_THAN_DOCKER).map(([code, docker]) => `| \`${code}\` | ${docker} |`)
  return [
    '## Where Countersign is stricter than Docker',
    '',
    'Countersign never accepts what a stock client refuses. It refuses more than a stock client with these codes only; a test holds',
    'the list against `docker trust inspect` and trusted pulls.',
    '',
    '| code | what Docker does |',
    '|---|---|',
    ...lines,
    '',
  ].join('\n')
}

function section(title: string, rows: Readonly<Record<string, ProblemRow>>): string {
  const lines = Object.entries(rows).map(
    ([code, row]) => `| \`${code}\` | ${row.status} | ${row.title}. | ${row.next} | ${row.retry ? 'yes' : 'no'} |`,
  )
  return [
    `## ${title}`,
    '',
    '| code | status | what is wrong | what to do next | retry |',
    '|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n')
}
