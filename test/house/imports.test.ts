// Imports run one way. This test reads the import lines of every source file and fails on a wrong direction, a cycle
// between folders, or a package used outside the one place that may use it.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { expect } from 'chai'

const top = resolve(import.meta.dirname, '../..')

/** What each part may import, besides its own files. Anything not named is forbidden. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  tuf: [],
  'src/strict-yaml': [],
  'src/approval-statement': [],
  'src/version': [],
  'src/http-listener': [],
  'src/key-holder-protocol': ['src/approval-statement', 'tuf'],
  'src/sqlite': ['tuf'],
  'src/pkcs11': ['src/key-holder-protocol', 'tuf'],
  'src/data-folder': ['src/sqlite', 'src/config'],
  'src/key-holder': [
    'src/key-holder-protocol',
    'src/pkcs11',
    'src/approval-statement',
    'src/strict-yaml',
    'src/sqlite',
    'src/version',
    'tuf',
  ],
  'src/domain': ['tuf'],
  'src/service': ['src/domain', 'src/approval-statement', 'tuf'],
  'src/policy': ['src/domain', 'src/config', 'src/strict-yaml', 'src/approval-statement', 'tuf'],
  'src/holder': ['src/key-holder-protocol', 'src/domain', 'tuf'],
  'src/net': ['src/domain', 'tuf'],
  'src/notary': ['src/net', 'src/domain', 'tuf'],
  'src/identity': ['src/net', 'src/domain', 'tuf'],
  'src/registry': ['src/net', 'src/domain', 'tuf'],
  'src/webhook': ['src/net', 'src/domain', 'tuf'],
  'src/store': ['src/sqlite', 'src/domain', 'tuf'],
  'src/trust-server': [
    'src/holder',
    'src/key-holder-protocol',
    'src/sqlite',
    'src/data-folder',
    'src/config',
    'src/log',
    'src/http-listener',
    'src/version',
    'src/domain',
    'tuf',
  ],
  'src/config': ['src/strict-yaml', 'src/domain', 'src/net', 'src/notary', 'src/registry', 'tuf'],
  // The table of problems names the codes of every layer, so http may see the error modules of all of them.
  'src/http': [
    'src/approval-statement',
    'src/service',
    'src/domain',
    'src/config',
    'src/*/errors',
    'src/log',
    'src/http-listener',
    'tuf',
  ],
  'src/log': ['src/config', 'tuf'],
  'src/app': [
    'src/version',
    'src/http',
    'src/policy',
    'src/service',
    'src/holder',
    'src/identity',
    'src/net',
    'src/notary',
    'src/registry',
    'src/webhook',
    'src/store',
    'src/config',
    'src/log',
    'src/domain',
    'tuf',
  ],
  'src/supervisor': [
    'src/app',
    'src/version',
    'src/config',
    'src/holder',
    'src/key-holder',
    'src/trust-server',
    'src/data-folder',
    'src/log',
    'src/domain',
    'src/store',
    'src/service',
    'tuf',
  ],
  'src/cli': [
    'src/supervisor',
    // Only to read: `repo export --full` needs no daemon.
    'src/notary',
    'src/net',
    'src/policy',
    'src/approval-statement',
    // Databases are copied for backups and checked when they come back.
    'src/sqlite',
    'src/key-holder',
    'src/key-holder-protocol',
    // Root keys in tokens are used where no key holder runs.
    'src/pkcs11',
    'src/trust-server',
    'src/holder',
    'src/config',
    'src/strict-yaml',
    'src/log',
    'src/version',
    'src/domain',
    'tuf',
  ],
  'src/main': ['src/process', 'src/cli'],
  'src/client': ['src/process', 'src/cli'],
  'src/process': ['src/cli'],
  'src/demo': ['src/domain', 'src/config', 'tuf'],
}

/** Packages that only one part may use, and where. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  canonicaljson: ['tuf/canonical.ts'],
  'node-forge': ['tuf/', 'src/supervisor/certificates.ts'],
  koa: ['src/http/', 'src/trust-server/'],
  '@fastify/busboy': ['src/trust-server/'],
  'content-disposition': ['src/trust-server/'],
  jose: ['src/trust-server/', 'src/identity/', 'src/key-holder-protocol/key-transport.ts'],
  '@koa/router': ['src/http/'],
  'better-sqlite3': ['src/sqlite/'],
  pkcs11js: ['src/pkcs11/'],
  undici: ['src/net/', 'src/cli/', 'src/demo/'],
  commander: ['src/cli/', 'src/main.ts'],
  yaml: ['src/strict-yaml.ts', 'src/config/print.ts', 'src/cli/pins/formats.ts', 'src/cli/image-list/compose-file.ts'],
}

/** Parts that must stay pure: no I/O, clock, randomness or environment. */
const PURE = ['tuf', 'src/domain']
const IMPURE_MODULES = /^node:(fs|net|http|https|child_process|dns|tls|os|process|timers|worker_threads)/

interface ImportLine {
  readonly file: string
  readonly specifier: string
}

function sources(folder: string): string[] {
  return readdirSync(join(top, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(top, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !file.includes('/dist/') && !file.includes('node_modules/'))
}

function importsOf(file: string): ImportLine[] {
  const text = readFileSync(join(top, file), 'utf8')
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '')
  return specifiers.map((specifier) => ({ file, specifier }))
}

/** `src/http/server.ts` -> `src/http`; `src/app.ts` -> `src/app`; `tuf/x.ts` -> `tuf`. */
function partOf(file: string): string {
  if (file.startsWith('tuf/')) return 'tuf'
  const [, second = ''] = file.split('/')
  return `src/${second.replace(/\.ts$/, '')}`
}

const files = [...sources('tuf'), ...sources('src')]
const lines = files.flatMap(importsOf)

describe('the direction of imports', () => {
  it('reads every source file', () => {
    expect(files.length).to.be.greaterThan(20)
    expect(lines.length).to.be.greaterThan(files.length)
  })

  it('has a rule for every part', () => {
    expect([...new Set(files.map(partOf))].filter((part) => !(part in MAY_IMPORT))).to.deep.equal([])
  })

  it('runs one way', () => {
    const wrong = lines.flatMap(({ file, specifier }) => {
      const target = specifier.startsWith('.')
        ? relative(top, resolve(top, dirname(file), specifier))
            .split(sep)
            .join('/')
        : specifier === '@countersign/tuf'
          ? 'tuf/index.ts'
          : undefined
      if (target === undefined) return []
      const from = partOf(file)
      const to = partOf(target)
      const allowed = MAY_IMPORT[from] ?? []
      const isErrors = target.endsWith('/errors.ts') && allowed.includes('src/*/errors')
      return from === to || allowed.includes(to) || isErrors ? [] : [`${file} -> ${target}`]
    })
    expect(wrong).to.deep.equal([])
  })

  it('enters the tuf library only by its door', () => {
    expect(
      lines.filter(({ file, specifier }) => file.startsWith('src/') && /(^|\/)tuf\//.test(specifier)),
    ).to.deep.equal([])
  })

  it('keeps packages in their homes', () => {
    const wrong = lines.filter(({ file, specifier }) => {
      const homes = PACKAGE_HOMES[specifier]
      return homes !== undefined && !homes.some((home) => file.startsWith(home))
    })
    expect(wrong).to.deep.equal([])
  })

  it('has no circle of files', () => {
    const targets = new Map(
      files.map((file) => [
        file,
        lines
          .filter((line) => line.file === file && line.specifier.startsWith('.'))
          .map(({ specifier }) =>
            relative(top, resolve(top, dirname(file), specifier))
              .split(sep)
              .join('/'),
          ),
      ]),
    )
    const done = new Set<string>()
    const walk = (file: string, path: readonly string[]): string[] => {
      if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(' -> ')]
      if (done.has(file)) return []
      const circles = (targets.get(file) ?? []).flatMap((target) => walk(target, [...path, file]))
      done.add(file)
      return circles
    }
    expect(files.flatMap((file) => walk(file, []))).to.deep.equal([])
  })

  it('keeps the functional core pure', () => {
    const wrong = lines.filter(({ file, specifier }) => PURE.includes(partOf(file)) && IMPURE_MODULES.test(specifier))
    expect(wrong).to.deep.equal([])
    const clocks = files
      .filter((file) => PURE.includes(partOf(file)))
      .filter((file) =>
        /Date\.now\(|new Date\(\)|Math\.random|randomBytes|process\.env/.test(readFileSync(join(top, file), 'utf8')),
      )
    expect(clocks).to.deep.equal([])
  })
})
