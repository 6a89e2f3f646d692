// The configuration's JSON Schema, made from the zod schema, so that editors complete and check the YAML file. Pure.
import * as z from 'zod'
import { configSchema } from './schema.ts'

/** The parts of a JSON Schema node that this program reads. */
export interface SchemaNode {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  readonly oneOf?: readonly SchemaNode[]
  readonly anyOf?: readonly SchemaNode[]
}

/** The JSON Schema (draft 2020-12) of the daemon's configuration as it is written. */
export function configJsonSchema(): SchemaNode {
  return jsonSchemaOf(configSchema, 'Countersign configuration')
}

/** Likewise of any configuration. */
export function jsonSchemaOf(schema: z.ZodType, title: string): SchemaNode {
  const made = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12', override: printDefaults })
  return { title, ...made } as SchemaNode
}

/** Every path of settings, for the test that the example documents each: `http.listen`, `trustServers[].url`. */
export function settingPaths(node: SchemaNode = configJsonSchema(), path = ''): string[] {
  const choices = node.oneOf ?? node.anyOf
  if (choices !== undefined) return [...new Set(choices.flatMap((choice) => settingPaths(choice, path)))]
  if (node.items !== undefined) return [path, ...settingPaths(node.items, `${path}[]`).filter((p) => p !== `${path}[]`)]
  const children = Object.entries(node.properties ?? {})
  if (children.length === 0) return [path]
  return children.flatMap(([name, child]) => settingPaths(child, path === '' ? name : `${path}.${name}`))
}

/** Defaults are kept in milliseconds and bytes; in the file they are written with a unit, so they leave the schema. */
function printDefaults(context: { readonly jsonSchema: { type?: unknown; default?: unknown } }): void {
  const { jsonSchema } = context
  if (typeof jsonSchema.default === 'number' && jsonSchema.type === 'string') delete jsonSchema.default
}
