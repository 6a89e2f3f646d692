// Resources as the API sends them.
export const DIGEST = 'sha256:' + 'ab'.repeat(32)
export const GUN = 'registry.example.com/team/app'

export function image(status: string, more: object = {}): Record<string, unknown> {
  return { reference: `${GUN}:1.4`, gun: GUN, tag: '1.4', digest: DIGEST, length: 523, status, ...more }
}

export function published(more: object = {}): Record<string, unknown> {
  const roles = [
    { role: 'targets/countersign', version: 4, sha256: 'cd'.repeat(32) },
    { role: 'targets/releases', version: 7, sha256: 'ef'.repeat(32) },
  ]
  return image('published', { roles, unchanged: false, ...more })
}

export function request(status: string, images: readonly object[] = [image(status)]): Record<string, unknown> {
  const isFinal = ['published', 'partial', 'denied', 'failed', 'expired', 'withdrawn'].includes(status)
  return {
    id: 'req-01j9',
    kind: 'sign',
    status,
    isFinal,
    createdAt: '2026-11-24T10:00:00.000Z',
    updatedAt: '2026-11-24T10:00:01.000Z',
    submitter: { id: 'token:1', name: 'release-bot' },
    images,
  }
}
