import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { parse } from 'yaml'
import { jsonSchemaOf, settingPaths } from '../../src/config/json-schema.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { parseTrustServerConfig, trustServerSchema } from '../../src/trust-server/config.ts'
import { GENERATED, readGenerated } from '../support/generated.ts'

const text = readFileSync(join(resolve(import.meta.dirname, '../..'), 'config/countersign.example.yaml'), 'utf8')

/** The paths that a document uses, in the words of settingPaths: `trustServers[].url`. */
function usedPaths(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return [path, ...value.flatMap((element) => usedPaths(element, `${path}[]`))]
  if (typeof value !== 'object' || value === null) return [path]
  const members = Object.entries(value)
  return [path, ...members.flatMap(([name, member]) => usedPaths(member, path === '' ? name : `${path}.${name}`))]
}

/** Settings that stand in the example as a comment, since they exclude another. */
const IN_COMMENTS = new Set([
  'trustServers[].credentials.usernameFile',
  'trustServers[].credentials.file',
  'registries[].credentials.file',
  'registries[].credentials.username',
  'registries[].credentials.usernameFile',
  'registries[].credentials.passwordFile',
])

describe('config/countersign.example.yaml', () => {
  it('is a valid configuration', () => {
    const parsed = parseConfig(text)
    expect(parsed.ok ? [] : parsed.faults).to.deep.equal([])
  })

  it('documents every setting', () => {
    const used = new Set(usedPaths(parse(text)))
    const missing = settingPaths().filter((path) => !used.has(path) && !IN_COMMENTS.has(path))
    expect(missing).to.deep.equal([])
    for (const path of IN_COMMENTS) expect(text).to.include(`${path.split('.').at(-1) ?? ''}:`)
  })

  it('shows the defaults where there are any', () => {
    const defaults = parseConfig('')
    const shown = parseConfig(text)
    if (!defaults.ok || !shown.ok) throw new Error('not valid')
    for (const name of ['dataFolder', 'signerName', 'requests', 'metrics', 'log', 'limits'] as const) {
      expect(shown.config[name], name).to.deep.equal(defaults.config[name])
    }
    for (const [name, value] of Object.entries(defaults.config.http)) {
      expect(shown.config.http, name).to.have.property(name, value)
    }
  })
})

describe('config/trust-server.example.yaml', () => {
  const example = readFileSync(join(resolve(import.meta.dirname, '../..'), 'config/trust-server.example.yaml'), 'utf8')

  it('is valid, and documents every setting', () => {
    parseTrustServerConfig(example)
    const used = new Set(usedPaths(parse(example)))
    expect(settingPaths(jsonSchemaOf(trustServerSchema, '')).filter((path) => !used.has(path))).to.deep.equal([])
  })

  it('shows the defaults where there are any', () => {
    const [defaults, shown] = [parseTrustServerConfig(''), parseTrustServerConfig(example)]
    for (const name of ['dataFolder', 'keyHolderSocket', 'renewal', 'caching', 'limits', 'metrics', 'log'] as const) {
      expect(shown[name], name).to.deep.equal(defaults[name])
    }
  })
})

describe('generated files', () => {
  for (const [path, make] of Object.entries(GENERATED)) {
    it(`${path} is current (else: node --import=tsx --conditions=source test/support/generated.ts)`, async () => {
      expect(readGenerated(path)).to.equal(await make())
    })
  }
})
