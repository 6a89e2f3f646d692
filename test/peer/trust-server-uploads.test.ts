// Bodies of updates that no stock client sends, at our trust server and at a real notary-server: the same status and code, but for row D7.
import { ROOT, TARGETS } from '@countersign/tuf'
import { expect } from 'chai'
import { startNotaryServer } from '../support/peers/notary-server.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'
import { takeServerKeys } from '../support/trust-server/server-keys.ts'
import { BOUNDARY, filesOf, HttpCaller, startTestTrustServer, type Answer } from '../support/trust-server/server.ts'

const GUN = 'registry.example.com/team/uploads'
const FILE = 'Content-Disposition: form-data; name="files"; filename="targets"'
const END = `--${BOUNDARY}--\r\n`
const GOOD_TYPE = `multipart/form-data; boundary=${BOUNDARY}`

/** One part with these lines of headers; `@` stands for targets in their next version. */
function part(headers: readonly string[], content = '@'): string {
  return `--${BOUNDARY}\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${content}\r\n`
}

/** Of a case: what both answer; or, by row D7, what each of them does. */
type Expected = string | { readonly original: string; readonly ours: string }

const ENDED: Expected = { original: 'no answer', ours: '400 MALFORMED_UPLOAD' }

const CASES: readonly (readonly [name: string, expected: Expected, body: string, type?: string])[] = [
  ['no headers at all', '400 NO_FILENAME', part([]) + END],
  ['no disposition', '400 NO_FILENAME', part(['Content-Type: application/octet-stream']) + END],
  ['no disposition, after a good part', '400 NO_FILENAME', part([FILE]) + part([], 'x') + END],
  ['an empty disposition', '400 NO_FILENAME', part(['Content-Disposition:']) + END],
  ['a field', '400 NO_FILENAME', part(['Content-Disposition: form-data; name="targets"']) + END],
  ['an empty file name', '400 NO_FILENAME', part(['Content-Disposition: form-data; name="files"; filename=""']) + END],
  ['only .json as the file name', '400 NO_FILENAME', part(['Content-Disposition: form-data; filename=".json"']) + END],
  [
    'a disposition that cannot be read',
    '400 NO_FILENAME',
    part(['Content-Disposition: form-data; filename=a/b']) + END,
  ],
  ['the file name twice', '400 NO_FILENAME', part([`${FILE}; filename="targets"`]) + END],
  ['a bad file before a part without a name', '400 MALFORMED_JSON', part([FILE], '{') + part([]) + END],
  ['a part without a name before a bad file', '400 NO_FILENAME', part([]) + part([FILE], '{') + END],
  [
    'a bad role before a bad file',
    '400 INVALID_ROLE',
    part(['Content-Disposition: form-data; filename="x"']) + part([FILE], '{') + END,
  ],
  ['a file of no bytes', '400 MALFORMED_JSON', part([FILE], '') + END],
  ['another type of disposition', '200 ', part(['Content-Disposition: attachment; filename="targets"']) + END],
  ['no field name', '200 ', part(['Content-Disposition: form-data; filename="targets"']) + END],
  ['names in other letters', '200 ', part(['content-disposition: Form-Data; FileName="targets"']) + END],
  ['a name in percent encoding', '200 ', part(["Content-Disposition: form-data; filename*=utf-8''targets"]) + END],
  ['a name without quotes', '200 ', part(['Content-Disposition: form-data; filename=targets']) + END],
  ['other headers', '200 ', part(['X-Other: 1', FILE, 'Content-Type: text/plain; charset=utf-8']) + END],
  ['a preamble and an epilogue', '200 ', `before\r\n${part([FILE])}${END}after`],
  ['as multipart/mixed', '200 ', part([FILE]) + END, `multipart/mixed; boundary=${BOUNDARY}`],
  ['as multipart/related', '400 MALFORMED_UPLOAD', part([FILE]) + END, `multipart/related; boundary=${BOUNDARY}`],
  ['without a boundary', '400 MALFORMED_UPLOAD', part([FILE]) + END, 'multipart/form-data'],
  ['as a form', '400 MALFORMED_UPLOAD', 'targets=x', 'application/x-www-form-urlencoded'],
  ['cut off in a file', ENDED, part([FILE])],
  [
    'cut off in the headers of a part',
    { original: '200 ', ours: '400 MALFORMED_UPLOAD' },
    `--${BOUNDARY}\r\n${FILE}\r\n`,
  ],
  ['headers of a part that do not end before the next', ENDED, `--${BOUNDARY}\r\n${FILE}\r\n${part([FILE])}${END}`],
  ['a header without a colon', { original: 'no answer', ours: '400 NO_FILENAME' }, part(['nonsense', FILE]) + END],
  ['another boundary', ENDED, part([FILE]) + END, 'multipart/form-data; boundary=other'],
]

interface Side {
  readonly http: HttpCaller
  readonly builder: RepositoryBuilder
}

describe('uploads that no client sends', function () {
  this.timeout(30_000)
  const scope = new Scope()
  let ours: Side
  let original: Side

  before(async function () {
    requirePeers(this, 'notary-server')
    const notary = await startNotaryServer(scope, { ca: createTestCa() })
    original = await published(new HttpCaller(notary.url, { ca: notary.ca.certificatePem }))
    ours = await published((await startTestTrustServer(scope)).http)
  })
  after(() => scope.close())

  async function published(http: HttpCaller): Promise<Side> {
    const builder = new RepositoryBuilder(GUN)
    await takeServerKeys(http, builder)
    expect((await http.post(GUN, filesOf(builder, ROOT, TARGETS))).status).to.equal(200)
    return { http, builder }
  }

  /** Status and code; or that the connection was ended without an answer. */
  async function answer({ http, builder }: Side, body: string, type: string): Promise<string> {
    builder.nextVersions(TARGETS)
    const file = Buffer.from(filesOf(builder, TARGETS).get(TARGETS) ?? []).toString('latin1')
    const bytes = Buffer.from(body.replaceAll('@', file), 'latin1')
    return http.upload(GUN, bytes, { 'content-type': type }).then(
      ({ status, code = '' }: Answer) => `${status} ${code}`,
      () => 'no answer',
    )
  }

  for (const [name, expected, body, type = GOOD_TYPE] of CASES) {
    const isD7 = typeof expected !== 'string'
    it(`${name}${isD7 ? ' (row D7)' : ''}`, async () => {
      expect([await answer(original, body, type), await answer(ours, body, type)]).to.deep.equal(
        isD7 ? [expected.original, expected.ours] : [expected, expected],
      )
    })
  }
})
