// What registries send, each with where it is from. Shortened to what says something; nothing in them was made up but what is marked.
const manifest = 'sha256:f20c43161d73848408ef247f0ec7111b19fe58ffebc0cbcaa0d2c8bda4967268'
const registryRequest = {
  id: '6b47c255',
  addr: '127.0.0.1:52980',
  host: '127.0.0.1:5981',
  method: 'PUT',
  useragent: 'node',
}
const source = { addr: 'vm:5981', instanceID: '04b242a9-69fd-4891-882c-3a23fcd75428' }

/** Recorded from docker-registry 2.8.2, which sends them one by one as application/vnd.docker.distribution.events.v1+json. */
export const DISTRIBUTION = {
  push: {
    events: [
      {
        id: '126cddd0-8374-495a-b720-b77b0b29165c',
        timestamp: '2026-11-29T01:51:32.12238922Z',
        action: 'push',
        target: {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          size: 246,
          digest: manifest,
          length: 246,
          repository: 'team/app',
          url: `http://127.0.0.1:5981/v2/team/app/manifests/${manifest}`,
          tag: '1.0',
        },
        request: registryRequest,
        actor: {},
        source,
      },
    ],
  },
  blob: {
    events: [
      {
        id: 'eee5bdbb-8c54-454d-8e9e-5c9770d1aa79',
        timestamp: '2026-11-29T01:51:32.068728368Z',
        action: 'push',
        target: {
          mediaType: 'application/octet-stream',
          size: 2,
          digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
          length: 2,
          repository: 'team/app',
          url: 'http://127.0.0.1:5981/v2/team/app/blobs/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
        },
        request: registryRequest,
        actor: {},
        source,
      },
    ],
  },
  pull: {
    events: [
      {
        id: 'f9de6efa-a26b-416b-b823-5731fd00e11b',
        action: 'pull',
        target: {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: manifest,
          repository: 'team/app',
          tag: '1.0',
        },
      },
    ],
  },
  /** A manifest that is deleted takes its tags with it: two events. */
  deletion: {
    events: [
      { id: 'df4617d9', action: 'delete', target: { digest: manifest, repository: 'team/app' } },
      { id: 'e9036b81', action: 'delete', target: { repository: 'team/app', tag: '1.0' } },
    ],
  },
  /** As docs/content/about/notifications.md of distribution describes `fromRepository`; the event itself is made up. */
  mount: {
    events: [
      { id: '1', action: 'mount', target: { digest: manifest, repository: 'team/app', fromRepository: 'team/base' } },
    ],
  },
}

const harborDigest = 'sha256:954b378c375d852eb3c63ab88978f640b4348b01c1b3456a024a81536dafbbf4'
const harborRepository = {
  date_created: 1680501893,
  name: 'alpine',
  namespace: 'harbor',
  repo_full_name: 'harbor/alpine',
  repo_type: 'private',
}

/** goharbor.io, "Configure Webhook Notifications": the example of an artifact without a tag, and the same with a tag in it. */
export const HARBOR = {
  untagged: {
    type: 'PUSH_ARTIFACT',
    occur_at: 1680501893,
    operator: 'harbor-jobservice',
    event_data: {
      resources: [{ digest: harborDigest, tag: harborDigest, resource_url: `localhost/harbor/alpine@${harborDigest}` }],
      repository: harborRepository,
    },
  },
  tagged: {
    type: 'PUSH_ARTIFACT',
    occur_at: 1680501893,
    operator: 'admin',
    event_data: {
      resources: [{ digest: harborDigest, tag: 'v1.0', resource_url: 'localhost/harbor/alpine:v1.0' }],
      repository: harborRepository,
    },
  },
  cloudEvent: {
    specversion: '1.0',
    id: '66e18103-09c1-41f6-982f-37df223f3eeb',
    requestid: '51c0b694-0168-4f3c-b0db-282565455d7b',
    source: '/projects/2/webhook/policies/15',
    type: 'harbor.artifact.pushed',
    datacontenttype: 'application/json',
    time: '2023-04-03T06:04:46Z',
    data: {
      resources: [{ digest: harborDigest, tag: 'v1.0', resource_url: 'localhost/harbor/alpine:v1.0' }],
      repository: harborRepository,
    },
    operator: 'harbor-jobservice',
  },
  deletion: {
    type: 'DELETE_ARTIFACT',
    occur_at: 1680501893,
    operator: 'admin',
    event_data: { resources: [{ digest: harborDigest, tag: 'v1.0' }], repository: harborRepository },
  },
}

const azureDigest = 'sha256:213bbc182920ab41e18edc2001e06abcca6735d87782d9cef68abd83941cf0e5'
const azurePush = {
  id: '31c51664-e5bd-416a-a5df-e5206bc47ed0',
  timestamp: '2018-04-25T21:39:47.276585742Z',
  action: 'push',
  target: {
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    size: 3023,
    digest: azureDigest,
    length: 3023,
    repository: 'aci-helloworld',
    tag: 'v1',
  },
  request: {
    id: '7c66f28b-de19-40a4-821c-6f5f6c0003a4',
    host: 'demo.azurecr.io',
    method: 'PUT',
    useragent: 'docker/18.03.0-ce',
  },
}

/** learn.microsoft.com, "Azure Container Registry webhook reference", and "Azure Container Registry as an Event Grid source". */
export const AZURE = {
  push: azurePush,
  deletion: {
    id: 'afc359ce-df7f-4e32-bdde-1ff8aa80927b',
    timestamp: '2017-11-17T16:54:53.657764628Z',
    action: 'delete',
    target: {
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      digest: azureDigest,
      repository: 'hello-world',
    },
  },
  eventGrid: [
    {
      id: '831e1650-001e-001b-66ab-eeb76e069631',
      source: '/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ContainerRegistry/registries/NAME',
      subject: 'aci-helloworld:v1',
      type: 'Microsoft.ContainerRegistry.ImagePushed',
      time: '2018-04-25T21:39:47.6549614Z',
      data: azurePush,
      specversion: '1.0',
    },
    { id: '2', eventType: 'Microsoft.ContainerRegistry.ImagePushed', data: azurePush, dataVersion: '1.0' },
    { id: '3', type: 'Microsoft.ContainerRegistry.ImageDeleted', data: { ...azurePush, action: 'delete' } },
  ],
}

/** docs.docker.com, Docker Hub, "Webhooks": the example payload. No digest, and nothing that proves who sent it. */
export const DOCKER_HUB = {
  callback_url: 'https://registry.hub.docker.com/u/svendowideit/testhook/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/',
  push_data: { pushed_at: 1417566161, pusher: 'trustedbuilder', tag: 'latest' },
  repository: {
    comment_count: 0,
    date_created: 1417494799,
    is_official: false,
    is_private: true,
    name: 'testhook',
    namespace: 'svendowideit',
    owner: 'svendowideit',
    repo_name: 'svendowideit/testhook',
    repo_url: 'https://registry.hub.docker.com/u/svendowideit/testhook/',
    star_count: 0,
    status: 'Active',
  },
}
