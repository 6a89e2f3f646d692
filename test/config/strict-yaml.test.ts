// YAML that is refused before or by the parser, by its code.
import { expect } from 'chai'
import { MAX_YAML_LENGTH, readStrictYaml } from '../../src/strict-yaml.ts'

function codesOf(text: string): readonly string[] {
  const read = readStrictYaml(text)
  return read.ok ? [] : read.faults.map(({ code }) => code)
}

describe('readStrictYaml', () => {
  it('reads what people write', () => {
    const text = '# c\na: { b: [1, "two"] }\nlist:\n  - name: x\n    deep:\n      deeper: true\n'
    expect(readStrictYaml(text)).to.deep.equal({
      ok: true,
      value: { a: { b: [1, 'two'] }, list: [{ name: 'x', deep: { deeper: true } }] },
    })
    expect(readStrictYaml('')).to.deep.equal({ ok: true, value: null })
  })

  for (const [name, text, code] of [
    ['a text that is too large', 'a'.repeat(MAX_YAML_LENGTH + 1), 'TOO_LARGE'],
    ['open brackets', '['.repeat(101), 'TOO_DEEP'],
    ['open braces', '{"a":'.repeat(101), 'TOO_DEEP'],
    ['lists begun in one line', '- '.repeat(101), 'TOO_DEEP'],
    ['keys begun in one line', '? '.repeat(101), 'TOO_DEEP'],
    ['indentation', `${' '.repeat(100)}a: 1`, 'TOO_DEEP'],
    ['a key twice', 'a: 1\na: 2', 'DUPLICATE_KEY'],
    ['an alias', 'a: &x [1]\nb: *x', 'ALIASES'],
    ['what the parser only warns of', 'a: !!unknown 1', 'TAG_RESOLVE_FAILED'],
  ] as const) {
    it(`refuses ${name}`, () => {
      expect(codesOf(text)).to.include(code)
    })
  }

  it('counts nothing that does not open a collection', () => {
    expect(codesOf(`a: "${'-'.repeat(500)}${':'.repeat(500)}"\nb: [${'[],'.repeat(200)}[]]`)).to.deep.equal([])
  })
})
