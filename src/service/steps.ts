// The numbered steps of a publication, in their order. form-intent.ts and sign.ts say at each what a crash before and after it
// leaves; tests stop the process there.

export const PUBLICATION_STEPS = [
  'digests-checked', // 1
  'base-loaded', // 2
  'roles-chosen', // 3
  'intent-saved', // 4
  'signed', // 5
  'bytes-checked', // 6
  'bytes-saved', // 7
  'published', // 8
  'read-back', // 9
  'proof-saved', // 10
] as const

/** Passed when the step of that name is done. */
export type PublicationStep = (typeof PUBLICATION_STEPS)[number]
