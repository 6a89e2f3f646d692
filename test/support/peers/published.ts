// What a Notary server serves at this moment, byte for byte, for tests that compare before and after.
import { Agent, request } from 'undici'
import type { NotaryServer } from './notary-server.ts'

/** The text of one metadata file, or undefined where the server has none. */
export async function publishedFile(notary: NotaryServer, gun: string, fileName: string): Promise<string | undefined> {
  const dispatcher = new Agent({ connect: { ca: notary.ca.certificatePem } })
  try {
    const { statusCode, body } = await request(`${notary.url}/v2/${gun}/_trust/tuf/${fileName}`, { dispatcher })
    const text = await body.text()
    if (statusCode === 404) return undefined
    if (statusCode !== 200) throw new Error(`${gun} ${fileName}: HTTP ${statusCode} ${text}`)
    return text
  } finally {
    await dispatcher.destroy()
  }
}
