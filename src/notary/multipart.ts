// The upload body of a Notary update: one part per role. The file name is the role, slash included; a library that cuts it to a
// base name would lose `targets/` (trap Q15). notary v0.7.0 storage/httpstore.go NewMultiPartMetaRequest.
import type { RoleName } from '@countersign/tuf'

/** `boundary` must not occur in any file: give 32 random hex digits. Role names hold no quotes or line breaks. */
export function encodeMultipart(files: ReadonlyMap<RoleName, Uint8Array>, boundary: string): Buffer {
  const parts: Uint8Array[] = []
  for (const [role, bytes] of files) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="${role}"\r\nContent-Type: application/octet-stream\r\n\r\n`
    parts.push(Buffer.from(head), bytes, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)])
}
