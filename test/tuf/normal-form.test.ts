// Notary's normal form against every vector of its own re-encoding.
import { expect } from 'chai'
import fc from 'fast-check'
import {
  attachSignatures,
  newRoot,
  normalFormText,
  parseJson,
  parseTargets,
  TARGETS,
  verifyNormalForm,
  verifyNormalFormFile,
  type JsonObject,
  type TufErrorCode,
} from '@countersign/tuf'
import { jsonValues } from './arbitraries.ts'
import { expectCode } from './expect-code.ts'
import { vectorJson } from './vectors.ts'

interface Vector {
  name: string
  kind: string
  input: string
  output_text?: string
  error?: string
}
const vectors = (vectorJson('canonical-json-vectors.json') as Vector[]).filter(
  ({ kind }) => kind === 'reencode-targets',
)

/** Files that are not even read; Go reads those without `error` in the vector. */
const NOT_READ: Readonly<Record<string, [TufErrorCode, string]>> = {
  'case-insensitive field names': ['METADATA_NAME_CASE', 'Go reads them, its signature check does not'],
  'target name tab': ['CANONICAL_CONTROL_CHARACTER', 'Go cannot encode it either'],
  'length float': ['JSON_NUMBER', 'Go refuses it too'],
  'length max int64': ['JSON_NUMBER', 'Go verifies another number'],
  'base64 without padding': ['ENCODING_BASE64', 'Go refuses it too'],
  'base64 with newline': ['CANONICAL_CONTROL_CHARACTER', 'Go writes it without'],
  'base64 url alphabet': ['ENCODING_BASE64', 'Go refuses it too'],
}

/** Files whose `signed` value has no normal form: they may verify, but are not built upon. */
const NOT_EXPRESSIBLE: Readonly<Record<string, TufErrorCode>> = {
  'expires with .000': 'NORMAL_FORM_EXPIRES',
  'expires with .120': 'NORMAL_FORM_EXPIRES',
  'expires with +00:00': 'NORMAL_FORM_EXPIRES',
  'delegations missing': 'NORMAL_FORM_MISSING_MEMBER',
  'unknown field': 'NORMAL_FORM_UNKNOWN_MEMBER',
  'role without paths': 'NORMAL_FORM_VALUE',
  'key without private': 'NORMAL_FORM_MISSING_MEMBER',
  'custom order kept': 'NORMAL_FORM_BYTES',
  'custom html': 'NORMAL_FORM_CUSTOM',
  'custom null': 'NORMAL_FORM_VALUE',
  'hashes missing': 'NORMAL_FORM_MISSING_MEMBER',
}

describe('normal form', () => {
  it('trap Q1: has a decision for every vector of the re-encoding server', () => {
    expect(vectors).to.have.lengthOf(33)
    const names = new Set(vectors.map(({ name }) => name))
    expect([...Object.keys(NOT_READ), ...Object.keys(NOT_EXPRESSIBLE)].filter((name) => !names.has(name))).to.be.empty
  })

  for (const vector of vectors) {
    const notRead = NOT_READ[vector.name]
    const notExpressible = NOT_EXPRESSIBLE[vector.name]
    const read = () => parseTargets(Buffer.from(vector.input), TARGETS)
    if (notRead !== undefined) {
      it(`is not read: ${vector.name} (${notRead[1]})`, () => expectCode(notRead[0], read))
    } else if (notExpressible !== undefined) {
      it(`is not built upon: ${vector.name}`, () => {
        expectCode(notExpressible, () => {
          verifyNormalFormFile(read())
        })
      })
    } else {
      it(`is written as Go writes it: ${vector.name}`, () => {
        const file = read()
        verifyNormalForm(file.signed)
        const written = Buffer.from(attachSignatures(file, file.signatures))
        expect(written.toString()).to.equal(vector.output_text)
        if (vector.input === vector.output_text) verifyNormalFormFile(file)
        else
          expectCode('NORMAL_FORM_BYTES', () => {
            verifyNormalFormFile(file)
          })
      })
    }
  }

  it('trap Q17: is given up by one trailing newline', () => {
    const normal = vectors.find(({ name }) => name === 'already normal')!.input
    expectCode('NORMAL_FORM_BYTES', () => {
      verifyNormalFormFile(parseTargets(Buffer.from(`${normal}\n`), TARGETS))
    })
  })

  it('keeps custom data that is safe, and orders it', () => {
    const file = targetsWith('{"custom":{"b":["x",{"d":1,"c":null}],"a":"\\"\\\\"},"hashes":{},"length":1}')
    verifyNormalForm(file)
    expect(normalFormText(file)).to.contain(String.raw`"custom":{"a":"\"\\","b":["x",{"c":null,"d":1}]}`)
  })

  it('refuses custom data with any of the five characters, in names too', () => {
    for (const character of ['<', '>', '&', '\u2028', '\u2029']) {
      for (const custom of [`"${character}"`, `{"a":["${character}"]}`, `{"${character}":1}`]) {
        expectCode('NORMAL_FORM_CUSTOM', () => {
          verifyNormalForm(targetsWith(`{"custom":${custom},"hashes":{},"length":1}`))
        })
      }
    }
  })

  const structures: Record<string, [TufErrorCode | undefined, string]> = {
    'targets null': [undefined, '"delegations":{"keys":{},"roles":[]},"targets":null'],
    'delegations with nulls': [undefined, '"delegations":{"keys":null,"roles":null},"targets":{}'],
    'delegations null': ['NORMAL_FORM_VALUE', '"delegations":null,"targets":{}'],
    'targets missing': ['NORMAL_FORM_MISSING_MEMBER', '"delegations":{"keys":{},"roles":[]}'],
    'roles missing': ['NORMAL_FORM_MISSING_MEMBER', '"delegations":{"keys":{}},"targets":{}'],
    'an unknown member of a delegation': [
      'NORMAL_FORM_UNKNOWN_MEMBER',
      '"delegations":{"keys":{},"roles":[{"keyids":[],"name":"targets/a","terminating":true,"threshold":1}]},"targets":{}',
    ],
    'an unknown member of a key': [
      'NORMAL_FORM_UNKNOWN_MEMBER',
      '"delegations":{"keys":{"ab":{"keytype":"x","keyval":{"private":null,"public":""},"scheme":"y"}},"roles":[]},"targets":{}',
    ],
    'an unknown member of a target': [
      'NORMAL_FORM_UNKNOWN_MEMBER',
      '"delegations":{"keys":{},"roles":[]},"targets":{"a":{"hashes":{},"length":1,"size":2}}',
    ],
  }
  for (const [name, [code, members]] of Object.entries(structures)) {
    it(`${code === undefined ? 'takes' : 'refuses'} ${name}`, () => {
      const text = `{"signed":{"_type":"Targets",${members},"expires":"2030-01-01T00:00:00Z","version":1},"signatures":[]}`
      const verify = () => {
        verifyNormalForm(parseTargets(Buffer.from(text), TARGETS).signed)
      }
      if (code === undefined) verify()
      else expectCode(code, verify)
    })
  }

  it('takes a new root, and refuses it without consistent_snapshot', () => {
    const { signed } = newRoot({
      version: 1,
      expiresAt: new Date('2036-01-01T00:00:00Z'),
      rootKeys: [],
      targetsKeys: [],
      snapshotKeys: [],
      timestampKeys: [],
    })
    verifyNormalForm(signed)
    const without = new Map(signed)
    without.delete('consistent_snapshot')
    expectCode('NORMAL_FORM_MISSING_MEMBER', () => {
      verifyNormalForm(without)
    })
  })

  it('is the same after reading and writing again', () => {
    fc.assert(
      fc.property(jsonValues, (value) => {
        const text = normalFormText(value)
        expect(text).not.to.match(/[<>&\u2028\u2029]/)
        const again = parseJson(Buffer.from(text), { maxBytes: 1e6, maxDepth: 64 })
        expect(again).to.deep.equal(value)
        expect(normalFormText(again)).to.equal(text)
      }),
    )
  })
})

function targetsWith(meta: string): JsonObject {
  const text = `{"signed":{"_type":"Targets","delegations":{"keys":{},"roles":[]},"expires":"2030-01-01T00:00:00Z","targets":{"a":${meta}},"version":1},"signatures":[]}`
  return parseTargets(Buffer.from(text), TARGETS).signed
}
