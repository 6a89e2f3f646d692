// Every answer that a real Notary server was seen to give, and what we make of it.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { parseGun, TARGETS } from '@countersign/tuf'
import { ANONYMOUS } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { parseServerError } from '../../src/notary/server-error.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { Scope } from '../support/scope.ts'
import { startScriptedServer } from '../support/scripted-server.ts'

interface RecordedAnswer {
  readonly status: number
  readonly body: unknown
}
type RecordedCase = { readonly case: string } & Readonly<Record<string, RecordedAnswer | string>>

const file = resolve(import.meta.dirname, '../vectors/notary-v1/server-errors.json')
const CASES = JSON.parse(readFileSync(file, 'utf8')) as RecordedCase[]
const ANSWERS = CASES.flatMap(({ case: title, ...answers }) =>
  Object.entries(answers).map(([server, answer]) => ({ title: `${title} (${server})`, ...(answer as RecordedAnswer) })),
)

const CODE_OF_STATUS_AND_WORD: Readonly<Record<string, { onPublish: string; onRead: string }>> = {
  '200 ': { onPublish: 'ok', onRead: 'ok' },
  '301 ': { onPublish: 'NOTARY_REDIRECTED', onRead: 'NOTARY_REDIRECTED' },
  '400 INVALID_PARAMETERS': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '400 INVALID_ROLE': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '400 INVALID_UPDATE': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '400 MALFORMED_JSON': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '400 MALFORMED_UPLOAD': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '400 NO_FILENAME': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '400 VERSION': { onPublish: 'NOTARY_CONFLICT', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '404 ': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'ok' },
  '404 METADATA_NOT_FOUND': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'ok' },
  '405 ': { onPublish: 'NOTARY_UPDATE_INVALID', onRead: 'NOTARY_RESPONSE_MALFORMED' },
  '500 UNKNOWN': { onPublish: 'NOTARY_ANSWER_LOST', onRead: 'NOTARY_UNAVAILABLE' },
}

const gun = parseGun('registry.example.test/demo/app')

describe('answers recorded from notary-server 0.7.0', () => {
  const scope = new Scope()
  let answer: RecordedAnswer
  let client: NotaryClient

  before(async () => {
    const server = await startScriptedServer(scope, (_, response) =>
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(encode(answer.body)),
    )
    client = new NotaryClient({
      url: server.url,
      tls: {},
      timeouts: { connectMs: 1000, headersMs: 1000, totalMs: 2000 },
      tokenRealms: [],
      credentials: ANONYMOUS,
    })
    scope.add(() => client.close())
  })
  after(() => scope.close())

  it('are all there', () => {
    expect(CASES).to.have.length(139)
  })

  for (const { title, status, body } of ANSWERS) {
    it(`has a code for: ${title}`, async () => {
      answer = { status, body }
      const word = parseServerError(encode(body))?.code ?? ''
      const expected = CODE_OF_STATUS_AND_WORD[`${status} ${word}`]
      if (expected === undefined) throw new Error(`nothing is expected of ${status} ${word}`)
      await outcome(expected.onPublish, () => client.publish(gun, new Map([[TARGETS, Buffer.from('{}')]])))
      await outcome(expected.onRead, () => client.read(gun, 'timestamp.json', 10_000))
    })
  }

  it('take an unlisted delegation for absent, whatever the storage', async () => {
    for (const { status, body } of ANSWERS.filter(({ title }) => title.startsWith('GET missing delegation'))) {
      answer = { status, body }
      expect(await client.read(gun, 'targets/releases.json', 10_000)).to.equal(undefined)
    }
  })
})

describe('parseServerError', () => {
  it('keeps code, name and words of a validation error', () => {
    const detail = { Name: 'ErrBadTargets', Error: { Msg: 'targets expired' } }
    const body = { errors: [{ code: 'INVALID_UPDATE', message: 'Update sent by the client is invalid.', detail }] }
    expect(parseServerError(encode(body))).to.deep.equal({
      code: 'INVALID_UPDATE',
      name: 'ErrBadTargets',
      words: 'targets expired',
    })
  })

  it('repeats nothing that could steer a terminal or fill a log', () => {
    const detail = { Name: 'Err\u001b[2J', Error: { Msg: `\u001b[31m\r\nroot: ok \u202e${'x'.repeat(5000)}` } }
    const error = parseServerError(encode({ errors: [{ code: 'INVALID_UPDATE', message: 'm', detail }] }))
    expect(error?.name).to.equal(undefined)
    expect(error?.words).to.match(/^\?\[31m\?\?root: ok \?x+$/)
    expect(error?.words).to.have.length(300)
  })

  for (const [name, text] of [
    ['nothing', ''],
    ['a page', '<html>502 Bad Gateway</html>'],
    ['no list', '{"errors":{}}'],
    ['an empty list', '{"errors":[]}'],
    ['a code that is a number', '{"errors":[{"code":7}]}'],
    ['a code with a line break', '{"errors":[{"code":"VERSION\\n"}]}'],
    ['a code that stands twice', '{"errors":[{"code":"UNKNOWN","code":"VERSION"}]}'],
  ] as const) {
    it(`reads nothing from ${name}`, () => {
      expect(parseServerError(Buffer.from(text))).to.equal(undefined)
    })
  }

  it('never throws', () => {
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(encodeText))
    fc.assert(
      fc.property(bytes, (body) => {
        parseServerError(body)
      }),
    )
  })
})

async function outcome(expected: string, work: () => Promise<unknown>): Promise<void> {
  if (expected === 'ok') await work()
  else await expectCodeAsync(expected, work)
}

function encode(body: unknown): Uint8Array {
  return encodeText(body === '' ? '' : JSON.stringify(body))
}

function encodeText(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}
