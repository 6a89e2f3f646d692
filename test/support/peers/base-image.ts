// A stand-in for the Node base image, made of this machine's own files: where no image can be pulled, the Dockerfile is built on it.
// It has what the Dockerfile uses and nothing else: node, npm, a shell and six small programs.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Scope } from '../scope.ts'
import { runToSuccess } from '../processes.ts'
import type { DockerClient } from './docker-client.ts'
import { programOnPath } from './require-peers.ts'

const PROGRAMS = ['sh', 'env', 'install', 'mkdir', 'mv', 'rm']
/** Name resolution and certificate authorities, for npm. */
const SETTINGS = ['/etc/nsswitch.conf', '/etc/ssl/certs/ca-certificates.crt']
/** Where prebuild-install finds a built addon; see its README, "local-prebuilds". */
const PREBUILDS = '/opt/prebuilds'

/** Imports the stand-in under `tag`. */
export async function importBaseImage(scope: Scope, docker: DockerClient, tag: string): Promise<void> {
  const root = join(scope.folder('base'), 'root')
  for (const folder of ['bin', 'usr/bin', 'tmp', 'var/lib', 'run', 'etc', 'root']) {
    mkdirSync(join(root, folder), { recursive: true })
  }
  for (const name of PROGRAMS) copyProgram(root, programOnPath(name), `/usr/bin/${name}`)
  copyProgram(root, programOnPath('sh'), '/bin/sh')
  copyProgram(root, process.execPath, '/usr/bin/node')
  copyNpm(root)
  copySqliteAddon(root)
  for (const file of SETTINGS.filter(existsSync)) copyFile(root, file)
  const tar = join(scope.folder('tar'), 'base.tar')
  await runToSuccess(programOnPath('tar'), ['--numeric-owner', '--owner=0', '--group=0', '-C', root, '-cf', tar, '.'])
  const changes = [
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
    `ENV npm_config_better_sqlite3_local_prebuilds=${PREBUILDS}`,
    'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
    'ENV npm_config_update_notifier=false',
  ]
  await docker.must(['import', ...changes.flatMap((change) => ['--change', change]), tar, tag])
}

function copyFile(root: string, source: string, target = source): void {
  const path = join(root, target)
  if (existsSync(path)) return
  mkdirSync(dirname(path), { recursive: true })
  cpSync(realpathSync(source), path)
}

/** A program with the libraries that the loader would load for it. */
function copyProgram(root: string, program: string, target: string): void {
  copyFile(root, program, target)
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(?:=> )?(\/\S+) \(0x/g)
  for (const [, library = ''] of libraries) copyFile(root, library)
}

function copyNpm(root: string): void {
  const folder = resolve(realpathSync(programOnPath('npm')), '../..')
  cpSync(folder, join(root, 'usr/lib/node_modules/npm'), { recursive: true })
  // Relative links inside npm's bin folder need the folder, so npm is started through a link as in the official image.
  execFileSync('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/bin/npm')])
}

/** The addon as it was installed here, for the same node, so that the image needs no compiler. */
function copySqliteAddon(root: string): void {
  const folder = resolve(import.meta.dirname, '../../../node_modules/better-sqlite3')
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
  const abi = process.versions.modules
  const name = `better-sqlite3-v${version}-node-v${abi}-${process.platform}-${process.arch}.tar.gz`
  mkdirSync(join(root, PREBUILDS), { recursive: true })
  execFileSync('tar', ['-C', folder, '-czf', join(root, PREBUILDS, name), 'build/Release/better_sqlite3.node'])
}
