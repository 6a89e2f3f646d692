# One image for three processes, `serve` (the daemon, the default), `key-holder` and `trust-server`, and the command line itself.
# Builds with and without BuildKit. For reproducible images name the base by digest: --build-arg BASE=node:24-bookworm-slim@sha256:...
ARG BASE=node:24-bookworm-slim

FROM ${BASE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
COPY tuf/package.json tuf/
RUN npm ci --no-audit --no-fund
COPY . .
# The SQLite sources are needed to build the addon only.
RUN npm run build \
 && npm prune --omit=dev --no-audit --no-fund \
 && rm -rf node_modules/better-sqlite3/deps node_modules/better-sqlite3/src node_modules/@countersign \
 && mkdir /out \
 && mv package.json dist node_modules /out/

FROM ${BASE}
ENV NODE_ENV=production
COPY --from=build /out /opt/countersign
# Three users, of the key holder, the daemon and the trust server, that share one group. It opens the folders of two sockets, of which
# daemon and trust server each get one as a volume. New named volumes take owner and mode from here.
RUN install -d -m 0750 -o 61001 -g 61000 /run/countersign /run/countersign-trust \
 && install -d -m 0700 -o 61001 -g 61000 /var/lib/countersign-key-holder \
 && install -d -m 0700 -o 61002 -g 61000 /var/lib/countersign \
 && install -d -m 0700 -o 61003 -g 61000 /var/lib/countersign-trust-server
USER 61002:61000
EXPOSE 8750 4443
ENTRYPOINT ["node", "/opt/countersign/dist/main.js"]
CMD ["serve", "--config", "/etc/countersign/countersign.yaml"]
