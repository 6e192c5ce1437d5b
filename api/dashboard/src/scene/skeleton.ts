// A person in the room: joints where the frame says, and what connects them. Site coordinates, metres, z up.
import {
  BufferAttribute, BufferGeometry, CircleGeometry, Color, CylinderGeometry, DoubleSide, Group, Mesh,
  MeshBasicMaterial, MeshStandardMaterial, Quaternion, RingGeometry, SphereGeometry, Vector3,
} from 'three';
import type { Person } from '../state/live';

/** COCO joints that a limb connects, and the limb's thickness in metres. */
const LIMBS: [number, number, number][] = [
  [5, 7, 0.042], [7, 9, 0.034], [6, 8, 0.042], [8, 10, 0.034],
  [11, 13, 0.058], [13, 15, 0.044], [12, 14, 0.058], [14, 16, 0.044],
  [5, 6, 0.046], [11, 12, 0.056], [5, 11, 0.05], [6, 12, 0.05],
];
const JOINTS = 17;
/** Nose, eyes and ears are drawn as one head. */
const FACE = 5;
const HEAD_M = 0.105;
const TRUNK = [5, 6, 12, 11] as const;
const UP = new Vector3(0, 1, 0);
const UNSURE = new Color('#64748b');
/** Half the width of a path on the floor. */
const PATH_M = 0.035;

const limb = new CylinderGeometry(1, 1, 1, 10, 1);
const ball = new SphereGeometry(1, 16, 12);
const ring = new RingGeometry(0.26, 0.3, 40);
const disc = new CircleGeometry(0.26, 40);

export class Skeleton {
  readonly group = new Group();
  private readonly joints: Mesh[] = [];
  private readonly limbs: Mesh[] = [];
  private readonly neck: Mesh;
  private readonly head: Mesh;
  private readonly trunk: BufferGeometry;
  /** On the floor below the middle of the hips. */
  readonly spot = new Group();
  private readonly trail: Mesh;
  private readonly colour: Color;

  constructor(colour: string) {
    this.colour = new Color(colour);
    const material = () =>
      new MeshStandardMaterial({ roughness: 0.45 });
    for (const _ of LIMBS) this.limbs.push(new Mesh(limb, material()));
    this.neck = new Mesh(limb, material());
    for (let i = FACE; i < JOINTS; i += 1) this.joints.push(new Mesh(ball, material()));
    this.head = new Mesh(ball, material());

    this.trunk = new BufferGeometry();
    this.trunk.setAttribute('position', new BufferAttribute(new Float32Array(12), 3));
    this.trunk.setIndex([0, 1, 2, 0, 2, 3]);
    const chest = new Mesh(this.trunk, new MeshBasicMaterial({ color: colour, transparent: true, opacity: 0.28, side: DoubleSide, depthWrite: false }));
    chest.frustumCulled = false;

    const flat = (opacity: number) => new MeshBasicMaterial({ color: colour, transparent: true, opacity, depthWrite: false });
    this.spot.add(new Mesh(disc, flat(0.16)), new Mesh(ring, flat(0.9)));

    this.trail = new Mesh(new BufferGeometry(), new MeshBasicMaterial({ vertexColors: true, transparent: true, depthWrite: false, side: DoubleSide }));
    this.trail.frustumCulled = false;
    this.group.add(...this.limbs, this.neck, ...this.joints, this.head, chest, this.spot, this.trail);
  }

  show(person: Person): void {
    const at = Array.from({ length: JOINTS }, () => new Vector3());
    const sure = new Float32Array(JOINTS);
    for (const { id, positionM: p, confidence } of person.keypoints) {
      at[id]?.set(p.x, p.y, p.z);
      sure[id] = confidence;
    }
    const place = (i: number) => at[i] ?? new Vector3();
    const of = (i: number) => sure[i] ?? 0;

    LIMBS.forEach(([a, b, thickness], i) => {
      const mesh = this.limbs[i];
      if (!mesh) return;
      span(mesh, place(a), place(b), thickness);
      this.tint(mesh, Math.min(of(a), of(b)));
    });
    this.joints.forEach((mesh, i) => {
      mesh.position.copy(place(i + FACE));
      mesh.scale.setScalar(0.058);
      this.tint(mesh, of(i + FACE));
    });
    const head = new Vector3();
    for (let i = 0; i < FACE; i += 1) head.addScaledVector(place(i), 1 / FACE);
    this.head.position.copy(head);
    this.head.scale.setScalar(HEAD_M);
    const face = Math.max(...sure.slice(0, FACE));
    this.tint(this.head, face);
    const shoulders = place(5).clone().add(place(6)).multiplyScalar(0.5);
    span(this.neck, shoulders, head, 0.04);
    this.tint(this.neck, Math.min(face, of(5), of(6)));

    const corners = this.trunk.getAttribute('position');
    TRUNK.forEach((joint, i) => corners.setXYZ(i, place(joint).x, place(joint).y, place(joint).z));
    corners.needsUpdate = true;

    this.spot.position.set(person.positionM.x, person.positionM.y, 0.012);
  }

  /** The way so far as a band on the floor, fading towards its beginning. */
  walked(trail: { x: number; y: number }[], shown: boolean): void {
    this.trail.visible = shown && trail.length > 1;
    if (!this.trail.visible) return;
    const positions = new Float32Array(trail.length * 6);
    const colours = new Float32Array(trail.length * 8);
    const corners: number[] = [];
    const { r, g, b } = this.colour;
    trail.forEach(({ x, y }, i) => {
      const [from, to] = [trail[Math.max(0, i - 1)], trail[Math.min(trail.length - 1, i + 1)]];
      const [dx, dy] = from && to ? [to.x - from.x, to.y - from.y] : [1, 0];
      const scale = PATH_M / (Math.hypot(dx, dy) || 1);
      positions.set([x - dy * scale, y + dx * scale, 0.01, x + dy * scale, y - dx * scale, 0.01], i * 6);
      const seen = 0.75 * (i / trail.length) ** 1.3;
      colours.set([r, g, b, seen, r, g, b, seen], i * 8);
      if (i > 0) corners.push(2 * i - 2, 2 * i - 1, 2 * i, 2 * i - 1, 2 * i + 1, 2 * i);
    });
    this.trail.geometry.dispose();
    this.trail.geometry = new BufferGeometry();
    this.trail.geometry.setAttribute('position', new BufferAttribute(positions, 3));
    this.trail.geometry.setAttribute('color', new BufferAttribute(colours, 4));
    this.trail.geometry.setIndex(corners);
  }

  /** What the model is less sure of is greyer. */
  private tint(mesh: Mesh, sure: number): void {
    const material = mesh.material as MeshStandardMaterial;
    material.color.copy(UNSURE).lerp(this.colour, 0.25 + 0.75 * Math.min(1, Math.max(0, sure)));
    material.emissive.copy(material.color);
    material.emissiveIntensity = 0.3;
  }

  /** Where the joints from the shoulders down are drawn, after the spot on the floor; world coordinates. */
  places(): Vector3[] {
    return [this.spot, ...this.joints].map((object) => object.getWorldPosition(new Vector3()));
  }

  /** Above the head. */
  top(): Vector3 {
    return this.head.position.clone().add(new Vector3(0, 0, 0.28));
  }

  dispose(): void {
    this.trail.geometry.dispose();
    this.trunk.dispose();
    this.group.traverse((object) => {
      if (object instanceof Mesh) (object.material as MeshBasicMaterial).dispose();
    });
  }
}

function span(mesh: Mesh, from: Vector3, to: Vector3, thickness: number): void {
  const along = to.clone().sub(from);
  const length = along.length();
  mesh.position.copy(from).addScaledVector(along, 0.5);
  mesh.scale.set(thickness, Math.max(length, 1e-4), thickness);
  if (length > 1e-6) mesh.quaternion.copy(new Quaternion().setFromUnitVectors(UP, along.divideScalar(length)));
}
