// What a machine proves itself with, in place of a token.
export interface ClientCertificate {
  /** PEM. */
  readonly cert: string
  readonly key: Buffer
}
