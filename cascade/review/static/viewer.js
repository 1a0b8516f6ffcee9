"use strict";
/* The picture: three planes of the scan with labels, drawn by NiiVue, and names drawn over it. */

const PLANES = { axial: 0, coronal: 1, sagittal: 2 };
const SVG = "http://www.w3.org/2000/svg";

class Viewer {
  constructor(canvas, overlay, colours) {
    this.canvas = canvas;
    this.overlay = overlay;
    this.colours = colours; // by label value: {text, rgb, kind}
    this.opacity = 0.35;
    this.shown = true;
    this.namesShown = true;
    this.outlined = false;
    this.lit = 0;
    this.onpoint = () => {};
    this.onhover = () => {};
    this.onact = () => {};
    this.nv = null;
  }

  async start() {
    const { Niivue, DRAG_MODE } = niivue;
    this.nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [1, 1, 1, 0.75],
      crosshairWidth: 0.5,
      crosshairWidthUnit: "mm",
      crosshairGap: 12,
      isOrientationTextVisible: true,
      isCornerOrientationText: false,
      fontColor: [0.78, 0.82, 0.85, 1],
      fontMinPx: 12,
      fontSizeScaling: 0.25,
      sagittalNoseLeft: true,
      isRadiologicalConvention: true,
      isNearestInterpolation: false,
      multiplanarShowRender: 0,
      dragAndDropEnabled: false,
      viewModeHotKey: "",
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      loadingText: "",
      logLevel: "silent",
      mouseEventConfig: {
        leftButton: { primary: DRAG_MODE.crosshair },
        rightButton: DRAG_MODE.windowing,
        centerButton: DRAG_MODE.pan,
      },
    });
    await this.nv.attachToCanvas(this.canvas);
    this._layout();
    this.nv.onLocationChange = () => { this._names(); this.onpoint(this.point()); };
    this.canvas.addEventListener("pointermove", (event) => this.onhover(this.at(event)));
    this.canvas.addEventListener("pointerleave", () => this.onhover(null));
    let down = null;
    this.canvas.addEventListener("pointerdown", (event) => { down = event.button === 0 ? [event.clientX, event.clientY] : null; });
    this.canvas.addEventListener("pointerup", (event) => {
      if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 5) this.onact(this.point());
      down = null;
    });
    new ResizeObserver(() => { this._layout(); this._names(); }).observe(this.canvas.parentElement);
  }

  _layout() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const large = width > 1.15 * height ? 0.6 : 1;
    const [sagittal, axial, coronal] = large < 1
      ? [[0, 0, 0.6, 1], [0.6, 0, 0.4, 0.42], [0.6, 0.42, 0.4, 0.58]]
      : [[0, 0, 1, 0.62], [0, 0.62, 0.5, 0.38], [0.5, 0.62, 0.5, 0.38]];
    this.nv.setCustomLayout([
      { sliceType: PLANES.sagittal, position: sagittal },
      { sliceType: PLANES.axial, position: axial },
      { sliceType: PLANES.coronal, position: coronal },
    ]);
  }

  get ready() { return this.nv !== null && this.nv.volumes.length === 2; }

  async open(scan, labels, centre_mm) {
    const load = (url, name, options) => niivue.NVImage.loadFromUrl({ url: new URL(url, document.baseURI).href, name, ...options });
    while (this.nv.volumes.length) this.nv.removeVolume(this.nv.volumes[this.nv.volumes.length - 1]);
    const [image, mask] = await Promise.all([load(scan, "scan.nii", {}), load(labels, "labels.nii", { opacity: this._alpha() })]);
    mask.setColormapLabel(this._table());
    this.nv.addVolume(image);
    this.nv.addVolume(mask);
    this.greys = [image.cal_min, image.cal_max];
    this.nv.setAtlasOutline(this.outlined ? 1 : 0);
    if (centre_mm) this.go(centre_mm);
    this._names();
  }

  close() {
    while (this.nv && this.nv.volumes.length) this.nv.removeVolume(this.nv.volumes[this.nv.volumes.length - 1]);
    this.overlay.replaceChildren();
  }

  /* New labels: the voxels of a box, x fastest; all others are background. */
  relabel(box, voxels) {
    const mask = this.nv.volumes[1];
    const [width, height] = mask.hdr.dims.slice(1, 3);
    const [x0, y0, z0, nx, ny, nz] = box;
    mask.img.fill(0);
    for (let z = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        const row = (z * ny + y) * nx;
        mask.img.set(voxels.subarray(row, row + nx), ((z0 + z) * height + y0 + y) * width + x0);
      }
    }
    this._refresh();
  }

  _alpha() { return this.shown ? this.opacity : 0; }

  _table() {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const [value, { rgb }] of [...this.colours.entries()].sort((a, b) => a[0] - b[0])) {
      const lit = this.lit === value;
      table.I.push(value);
      table.R.push(lit ? 255 : rgb[0]);
      table.G.push(lit ? 255 : rgb[1]);
      table.B.push(lit ? 255 : rgb[2]);
      table.A.push(255);
      table.labels.push("");
    }
    return table;
  }

  _refresh() {
    this.nv.refreshLayers(this.nv.volumes[1], 1);
    this.nv.drawScene();
    this._names();
  }

  light(value) {
    if (!this.ready || this.lit === value) return;
    this.lit = value;
    this.nv.volumes[1].setColormapLabel(this._table());
    this.nv.refreshColormaps();
    this._refresh();
  }

  setOpacity(share) { this.opacity = share; this._show(); }
  toggle() { this.shown = !this.shown; this._show(); }
  _show() {
    if (!this.ready) return;
    this.nv.volumes[1].opacity = this._alpha();
    this._refresh();
  }
  setOutlines(on) {
    this.outlined = on;
    if (this.ready) this.nv.setAtlasOutline(on ? 1 : 0);
  }
  setNames(on) { this.namesShown = on; this._names(); }

  resetGreys() {
    if (!this.ready) return;
    [this.nv.volumes[0].cal_min, this.nv.volumes[0].cal_max] = this.greys;
    this.nv.refreshLayers(this.nv.volumes[0], 0);
    this._refresh();
  }

  /* ---- places: fractions of the volume, voxels, and RAS+ mm */

  point() {
    if (!this.ready) return null;
    return this._place(this.nv.scene.crosshairPos);
  }

  at(event) {
    if (!this.ready) return null;
    const ratio = this.nv.uiData.dpr || 1;
    const frac = this.nv.canvasPos2frac([event.offsetX * ratio, event.offsetY * ratio]);
    return frac[0] < 0 ? null : this._place(frac);
  }

  _place(frac) {
    const [image, mask] = this.nv.volumes;
    const voxel = [...this.nv.frac2vox(frac)];
    const mm = [...this.nv.frac2mm(frac, 0, true)].slice(0, 3);
    return { mm, voxel, grey: image.getValue(...voxel), value: mask.getValue(...voxel) };
  }

  go(mm) {
    if (!this.ready) return;
    const frac = this.nv.mm2frac(mm, 0, true);
    this.nv.scene.crosshairPos = [...frac].map((f) => Math.min(Math.max(f, 0), 1));
    this.nv.drawScene();
    this.nv.createOnLocationChange();
  }

  /* Where a place of the slice that is shown lies in the picture, in its pixels. */
  place(mm, plane) {
    const axis = 2 - plane;
    const frac = this.nv.mm2frac(mm, 0, true);
    frac[axis] = this.nv.scene.crosshairPos[axis];
    const found = this.nv.frac2canvasPosWithTile(frac, plane);
    const ratio = this.nv.uiData.dpr || 1;
    return found ? [found.pos[0] / ratio, found.pos[1] / ratio] : null;
  }

  step(x, y, z) {
    if (this.ready) this.nv.moveCrosshairInVox(x, y, z);
  }

  /* ---- names: at the middle of what the slice shows of a structure */

  _names() {
    this.overlay.replaceChildren();
    if (!this.ready || !this.namesShown || !this.shown) return;
    const ratio = this.nv.uiData.dpr || 1;
    const voxel = [...this.nv.frac2vox(this.nv.scene.crosshairPos)];
    for (const [plane, axis] of [[PLANES.sagittal, 0], [PLANES.coronal, 1]]) {
      for (const [value, middle] of this._middles(axis, voxel[axis])) {
        const known = this.colours.get(value);
        const frac = this.nv.vox2frac(middle);
        frac[axis] = this.nv.scene.crosshairPos[axis];
        const found = known && known.kind !== "canal" && this.nv.frac2canvasPosWithTile(frac, plane);
        if (!found || this.nv.screenSlices[found.tileIndex].axCorSag !== plane) continue;
        const text = document.createElementNS(SVG, "text");
        text.setAttribute("x", found.pos[0] / ratio);
        text.setAttribute("y", found.pos[1] / ratio);
        text.setAttribute("class", `${known.kind}${this.lit === value ? " lit" : ""}`);
        text.dataset.plane = plane;
        text.textContent = known.text;
        this.overlay.append(text);
      }
    }
  }

  _middles(axis, at) {
    const mask = this.nv.volumes[1];
    const dims = mask.hdr.dims.slice(1, 4);
    const steps = [1, dims[0], dims[0] * dims[1]];
    const [u, v] = [0, 1, 2].filter((one) => one !== axis);
    const sums = new Map();
    const start = at * steps[axis];
    for (let j = 0; j < dims[v]; j++) {
      for (let i = 0; i < dims[u]; i++) {
        const value = mask.img[start + i * steps[u] + j * steps[v]];
        if (!value) continue;
        const sum = sums.get(value) || [0, 0, 0];
        sum[0] += 1; sum[1] += i; sum[2] += j;
        sums.set(value, sum);
      }
    }
    return [...sums].filter(([, sum]) => sum[0] > 8).map(([value, [n, i, j]]) => {
      const middle = [0, 0, 0];
      middle[axis] = at; middle[u] = i / n; middle[v] = j / n;
      return [value, middle];
    });
  }
}
