# The image of the control plane: docker build -f deploy/control-plane.Dockerfile .
# Sources run as they are; the demo's PostgreSQL and the packages of the tests stay out.

FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY shared/package.json shared/
COPY control-plane/package.json control-plane/
COPY data-plane/package.json data-plane/
COPY cli/package.json cli/
COPY tests/package.json tests/
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
      --workspace=@dbbouncer/cli --include-workspace-root=false

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production DBBOUNCER_DATA_DIR=/data
WORKDIR /app
COPY --from=packages /app ./
COPY shared shared
COPY migrations migrations
COPY control-plane control-plane
COPY cli cli
# The log and the keys; a volume, owned by the user who writes it.
RUN install -d -o node -g node -m 0700 /data
VOLUME /data
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "cli/bin/dbbouncer.mjs"]
CMD ["control-plane"]
