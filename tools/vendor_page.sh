#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes serve/console/page/vendor.js: the libraries of the console's page in one file, from the npm registry. Nobody
# needs it to use the console; run it after changing a version here, and commit what it writes. Needs npm.

set -e
cd "$(dirname "$0")/.."
page=$PWD/serve/console/page
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

echo '{"private": true, "type": "module"}' > package.json
npm install --silent --no-audit --no-fund three@0.187.0 urdf-loader@0.13.1 uplot@1.6.32 esbuild@0.28.2
cat > vendor.js <<'END'
export {
    Box3, BufferGeometry, Color, CylinderGeometry, DirectionalLight, Float32BufferAttribute, GridHelper, Group,
    HemisphereLight, Line, LineBasicMaterial, LoadingManager, Mesh, MeshStandardMaterial, Object3D, PerspectiveCamera,
    Scene, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
export { STLLoader } from "three/examples/jsm/loaders/STLLoader.js";
export { default as URDFLoader } from "urdf-loader";
export { default as uPlot } from "uplot";
END
node_modules/.bin/esbuild vendor.js --bundle --minify --format=esm --target=es2022 --legal-comments=none \
    --log-level=warning --outfile="$page/vendor.js"
cp node_modules/uplot/dist/uPlot.min.css "$page/vendor.css"
