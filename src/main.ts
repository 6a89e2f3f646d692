#!/usr/bin/env node
// `countersign`: services and command line.
import { startProcess } from './process.ts'

startProcess(async () => (await import('./cli/program.ts')).run)
