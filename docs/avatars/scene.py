"""Builds one portrait as a Blender scene and renders it with Cycles (bpy from PyPI, no window needed)."""

from __future__ import annotations

import math
from pathlib import Path

import bpy
import clothes
import hair
import numpy as np
import skin
from body import Body, build
from people import Person
from scipy.spatial import cKDTree
from strands import Skin, skin_of


def to_blender(points: np.ndarray) -> np.ndarray:
    """From body.py's axes to Blender's: x stays, z is up, the figure looks along -y."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def from_blender(points: np.ndarray) -> np.ndarray:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def render(
    person: Person,
    data: Path,
    target: Path,
    *,
    width: int = 1024,
    height: int = 1280,
    samples: int = 96,
    crop: tuple[float, ...] = (),
) -> None:
    """Render `person` with a transparent background to the 16-bit PNG `target`."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    body = build(data, person.targets, shoulders=person.shoulders)
    surface, uv = _dense(body)
    masks = {name: skin.mask(data, name, uv, 2.2) for name in ("lips", "ears", "eyelids")}
    masks["scalp"] = skin.scalp(surface.rest, masks["ears"], recede=person.recede, lift=person.hairline_lift)
    masks["brow"] = skin.brow(surface.rest, **person.brow)
    masks["lash line"] = _lash_line(surface, body)
    rng = np.random.default_rng(person.seed)
    _add_skin(surface, masks, person, rng)
    for side, (centre, radius) in body.eyes.items():
        _add_eye(centre, radius, person, side)
    for name, paths, radius, material in hair.everything(surface, masks, body, person, rng):
        _add_strands(name, paths, radius, _hair_material(name, *material))
    for part in clothes.everything(surface, person):
        _add_cloth(part)
    _light(person, body)
    _camera(person, body)
    _settings(width, height, samples)
    if crop:
        r = bpy.context.scene.render
        r.use_border = r.use_crop_to_border = True
        r.border_min_x, r.border_max_y, r.border_max_x, r.border_min_y = (
            crop[0],
            1 - crop[1],
            crop[2],
            1 - crop[3],
        )
    bpy.context.scene.render.filepath = str(target)
    bpy.ops.render.render(write_still=True)


def _mesh(name: str, points: np.ndarray, faces: np.ndarray) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(to_blender(points).tolist(), [], faces.tolist())
    mesh.shade_smooth()
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(thing)
    return thing


def _dense(body: Body, levels: int = 3) -> tuple[Skin, np.ndarray]:
    """Subdivide the figure; the unmorphed coordinates and the UVs go along."""
    thing = _mesh("coarse", body.points, body.quads)
    rest = thing.data.attributes.new("rest", "FLOAT_VECTOR", "POINT")
    rest.data.foreach_set("vector", body.rest.astype(np.float32).ravel())
    layer = thing.data.uv_layers.new(name="uv")
    layer.uv.foreach_set("vector", body.uv.reshape(-1, 2).astype(np.float32).ravel())
    modifier = thing.modifiers.new("subdivide", "SUBSURF")
    modifier.levels = levels
    mesh = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    count = len(mesh.vertices)
    points, normals, still = (np.empty(count * 3, np.float32) for _ in range(3))
    mesh.vertices.foreach_get("co", points)
    mesh.vertex_normals.foreach_get("vector", normals)
    mesh.attributes["rest"].data.foreach_get("vector", still)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    loops = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers["uv"].uv.foreach_get("vector", loops)
    uv = np.zeros((count, 2))
    uv[corners] = loops.reshape(-1, 2)
    quads = corners.reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    bpy.data.objects.remove(thing)
    as_float = [from_blender(a.reshape(-1, 3).astype(float)) for a in (points, normals)]
    return skin_of(as_float[0], as_float[1], still.reshape(-1, 3).astype(float), triangles), uv


def _lash_line(surface: Skin, body: Body) -> np.ndarray:
    """1 along the rims of the upper lids, where lashes darken the skin."""
    result = np.zeros(len(surface.points))
    for place, roots in body.lash_roots.items():
        reach = 0.016 if place.endswith("upper") else 0.009
        dense = np.linspace(0, len(roots) - 1, 200)
        curve = np.stack([np.interp(dense, np.arange(len(roots)), roots[:, i]) for i in range(3)], 1)
        distance, _ = cKDTree(curve).query(surface.points, distance_upper_bound=0.05)
        amount = 1.0 if place.endswith("upper") else 0.45
        result = np.maximum(
            result, amount * (1 - skin.smooth(np.minimum(distance, 1), 0.3 * reach, 1.5 * reach))
        )
    return result


class _Nodes:
    """A short hand for shader trees."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()

    def add(
        self, kind: str, inputs: dict[str | int, object] | None = None, **settings: object
    ) -> bpy.types.Node:
        node = self.tree.nodes.new(kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            else:
                node.inputs[key].default_value = value
        return node

    def finish(self, shader: bpy.types.Node) -> bpy.types.Material:
        self.add("ShaderNodeOutputMaterial", {"Surface": shader.outputs[0]})
        return self.material


def _colour_attribute(thing: bpy.types.Object, name: str, colour: np.ndarray) -> None:
    layer = thing.data.color_attributes.new(name, "FLOAT_COLOR", "POINT")
    layer.data.foreach_set(
        "color", np.concatenate([colour, np.ones((len(colour), 1))], 1).astype(np.float32).ravel()
    )


def _add_skin(surface: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> None:
    thing = _mesh("skin", surface.points, surface.triangles)
    tone = person.tone
    _colour_attribute(thing, "albedo", skin.paint(surface.rest, masks, tone, rng))
    lips = skin.smooth(masks["lips"], 0.2, 0.6)
    shine = 0.6 * skin.blob(surface.rest, (0, 7.0, 1.6), (0.1, 0.25, 0.3)) + 0.5 * skin.blob(
        surface.rest, (0, 7.7, 1.5), (0.35, 0.2, 0.3)
    )
    rough = tone.roughness - 0.05 * shine - 0.08 * lips
    near_eye = np.zeros(len(surface.rest))
    for x in (-0.308, 0.308):
        reach = np.linalg.norm(surface.rest - [x, 7.284, 1.245], axis=1)
        near_eye = np.maximum(near_eye, 1 - skin.smooth(reach, 0.148, 0.166))
    rough = rough * (1 - 0.6 * near_eye)
    _colour_attribute(thing, "detail", np.stack([rough, lips, masks["scalp"]], 1))
    rest = thing.data.attributes.new("rest", "FLOAT_VECTOR", "POINT")
    rest.data.foreach_set("vector", surface.rest.astype(np.float32).ravel())
    thing.data.materials.append(_skin_material(tone))


def _skin_material(tone: skin.Tone) -> bpy.types.Material:
    n = _Nodes("skin")
    albedo = n.add("ShaderNodeVertexColor", layer_name="albedo").outputs["Color"]
    detail = n.add(
        "ShaderNodeSeparateColor", {0: n.add("ShaderNodeVertexColor", layer_name="detail").outputs["Color"]}
    )
    rest = n.add("ShaderNodeAttribute", attribute_name="rest").outputs["Vector"]
    blotch = n.add("ShaderNodeTexNoise", {"Vector": rest, "Scale": 26.0, "Detail": 4.0, "Roughness": 0.65})
    tint = n.add(
        "ShaderNodeMapRange",
        {
            "Value": blotch.outputs[0],
            "From Min": 0.3,
            "From Max": 0.7,
            "To Min": 1 - 0.07 * tone.mottle,
            "To Max": 1 + 0.07 * tone.mottle,
        },
    )
    colour = n.add("ShaderNodeVectorMath", {0: albedo, "Scale": tint.outputs[0]}, operation="SCALE").outputs[
        0
    ]
    if tone.freckles:
        spots = n.add("ShaderNodeTexVoronoi", {"Vector": rest, "Scale": 34.0, "Randomness": 1.0})
        speck = n.add(
            "ShaderNodeMapRange",
            {
                "Value": spots.outputs["Distance"],
                "From Min": 0.12,
                "From Max": 0.3,
                "To Min": tone.freckles,
                "To Max": 0.0,
            },
        )
        patch = n.add("ShaderNodeTexNoise", {"Vector": rest, "Scale": 7.0})
        where = n.add("ShaderNodeMapRange", {"Value": patch.outputs[0], "From Min": 0.48, "From Max": 0.62})
        amount = n.add("ShaderNodeMath", {0: speck.outputs[0], 1: where.outputs[0]}, operation="MULTIPLY")
        colour = n.add(
            "ShaderNodeMix",
            {0: amount.outputs[0], 6: colour, 7: (*skin.linear((0.62, 0.38, 0.27)), 1)},
            data_type="RGBA",
        ).outputs[2]
    pores = n.add("ShaderNodeTexVoronoi", {"Vector": rest, "Scale": 62.0}, feature="SMOOTH_F1")
    grain = n.add("ShaderNodeTexNoise", {"Vector": rest, "Scale": 75.0, "Detail": 3.0})
    stretched = n.add("ShaderNodeVectorMath", {0: rest, 1: (60.0, 9.0, 9.0)}, operation="MULTIPLY")
    creases = n.add("ShaderNodeTexNoise", {"Vector": stretched.outputs[0], "Scale": 1.0, "Detail": 2.0})
    relief = n.add("ShaderNodeMath", {0: pores.outputs["Distance"], 1: grain.outputs[0]}, operation="ADD")
    height = n.add(
        "ShaderNodeMix",
        {0: detail.outputs[1], 2: relief.outputs[0], 3: creases.outputs[0]},
        data_type="FLOAT",
    )
    bump = n.add(
        "ShaderNodeBump",
        {"Strength": 0.17 + 0.1 * tone.lines, "Distance": 0.012, "Height": height.outputs[0]},
    )
    shader = n.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": colour,
            "Roughness": detail.outputs[0],
            "Specular IOR Level": 0.4,
            "Subsurface Weight": 0.75,
            "Subsurface Radius": (1.0, 0.36, 0.2),
            "Subsurface Scale": 0.035,
            "Normal": bump.outputs[0],
        },
    )
    return n.finish(shader)


def _add_eye(centre: np.ndarray, radius: float, person: Person, side: str) -> None:
    """A ball with a raised cornea, drawn by the angle from the line of sight."""
    rings, spokes = 96, 96
    polar = np.linspace(0, math.pi, rings + 1)[1:-1] ** 1.35 / math.pi**0.35
    bulge = 1 + 0.045 * np.exp(-((polar / 0.42) ** 4))
    around = np.linspace(0, 2 * math.pi, spokes, endpoint=False)
    ring = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.sin(polar)[:, None] * np.sin(around),
            np.cos(polar)[:, None] * np.ones(spokes),
        ],
        -1,
    )
    local = np.concatenate([[[0, 0, 1.045]], (ring * bulge[:, None, None]).reshape(-1, 3), [[0, 0, -1]]])
    faces = []
    for r in range(rings - 2):
        a, b = 1 + r * spokes, 1 + (r + 1) * spokes
        faces += [[a + s, b + s, b + (s + 1) % spokes, a + (s + 1) % spokes] for s in range(spokes)]
    faces += [[0, 1 + s, 1 + (s + 1) % spokes] for s in range(spokes)]
    turn = math.radians(person.gaze) * (-1 if side == "left" else 1)
    turned = local.copy()
    turned[:, 0] = local[:, 0] * math.cos(turn) + local[:, 2] * math.sin(turn)
    turned[:, 2] = -local[:, 0] * math.sin(turn) + local[:, 2] * math.cos(turn)
    thing = bpy.data.objects.new(f"eye {side}", bpy.data.meshes.new("eye"))
    thing.data.from_pydata(to_blender(turned * radius + centre).tolist(), [], faces)
    thing.data.shade_smooth()
    bpy.context.collection.objects.link(thing)
    _colour_attribute(thing, "iris", _eye_colours(local, person))
    thing.data.materials.append(_eye_material())


def _eye_colours(local: np.ndarray, person: Person) -> np.ndarray:
    rng = np.random.default_rng(person.seed + 5)
    angle = np.degrees(np.arccos(np.clip(local[:, 2] / np.linalg.norm(local, axis=1), -1, 1)))
    around = np.arctan2(local[:, 1], local[:, 0])
    white = (
        skin.linear((0.89, 0.855, 0.835))
        + (skin.linear((0.82, 0.64, 0.58)) - skin.linear((0.89, 0.855, 0.835)))
        * skin.smooth(angle, 42, 80)[:, None]
    )
    edge = 29.0 * person.iris_size
    u = angle / edge
    fibres = sum(np.sin(around * k + rng.uniform(0, 6)) for k in (17, 23, 31, 43)) / 4
    iris = skin.linear(person.iris)[None] * (
        0.75 + 0.45 * fibres[:, None] * skin.smooth(u, 0.3, 0.6)[:, None]
    )
    iris = iris + (skin.linear(person.iris_inner) - iris) * (1 - skin.smooth(u, 0.42, 0.72))[:, None]
    iris = iris * (1 - 0.8 * skin.smooth(u, 0.8, 1.0))[:, None]
    # Light gathers in the half of the iris that lies away from the lamp.
    iris = iris * (1.1 - 0.75 * np.sin(around) * skin.smooth(u, 0.2, 0.6))[:, None]
    colour = iris + (white - iris) * skin.smooth(u, 0.95, 1.07)[:, None]
    return colour * skin.smooth(angle, 11.0, 12.6)[:, None] + 0.002


def _eye_material() -> bpy.types.Material:
    n = _Nodes("eye")
    colour = n.add("ShaderNodeVertexColor", layer_name="iris").outputs["Color"]
    shader = n.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": colour,
            "Roughness": 0.35,
            "Specular IOR Level": 0.2,
            "Coat Weight": 1.0,
            "Coat Roughness": 0.015,
            "Coat IOR": 1.45,
            "Subsurface Weight": 0.15,
            "Subsurface Radius": (1, 0.4, 0.3),
            "Subsurface Scale": 0.02,
        },
    )
    return n.finish(shader)


def _hair_material(name: str, colour: skin.Colour, roughness: float) -> bpy.types.Material:
    n = _Nodes(name)
    shader = n.add("ShaderNodeBsdfHairPrincipled", parametrization="COLOR")
    shader.inputs["Color"].default_value = (*skin.linear(colour), 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Radial Roughness"].default_value = 0.6
    shader.inputs["Random Roughness"].default_value = 0.2
    info = n.add("ShaderNodeHairInfo")
    shade = n.add("ShaderNodeMapRange", {"Value": info.outputs["Random"], "To Min": 0.72, "To Max": 1.3})
    tint = n.add(
        "ShaderNodeVectorMath", {0: (*skin.linear(colour),), "Scale": shade.outputs[0]}, operation="SCALE"
    )
    n.tree.links.new(tint.outputs[0], shader.inputs["Color"])
    return n.finish(shader)


def _add_strands(name: str, paths: np.ndarray, radius: float, material: bpy.types.Material) -> None:
    curves = bpy.data.hair_curves.new(name)
    count, steps = paths.shape[:2]
    curves.add_curves([steps] * count)
    curves.position_data.foreach_set("vector", to_blender(paths).astype(np.float32).ravel())
    taper = radius * np.interp(np.linspace(0, 1, steps), [0, 0.15, 0.7, 1], [0.8, 1, 0.85, 0.2])
    thickness = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    thickness.data.foreach_set("value", np.tile(taper, count).astype(np.float32))
    curves.materials.append(material)
    bpy.context.collection.objects.link(bpy.data.objects.new(name, curves))


def _add_cloth(part: clothes.Part) -> None:
    thing = _mesh(part.name, part.points, part.faces)
    if part.thickness:
        solid = thing.modifiers.new("thick", "SOLIDIFY")
        solid.thickness, solid.offset = part.thickness, 0.0
    if part.levels:
        dense = thing.modifiers.new("subdivide", "SUBSURF")
        dense.levels = dense.render_levels = part.levels
    n = _Nodes(part.name)
    place = n.add("ShaderNodeTexCoord").outputs["Object"]
    weave = n.add("ShaderNodeTexNoise", {"Vector": place, "Scale": part.weave, "Detail": 2.0})
    folds = n.add("ShaderNodeTexNoise", {"Vector": place, "Scale": 1.7, "Detail": 2.0, "Distortion": 0.7})
    height = n.add(
        "ShaderNodeMath",
        {0: folds.outputs[0], 1: part.folds * 10, 2: weave.outputs[0]},
        operation="MULTIPLY_ADD",
    )
    bump = n.add("ShaderNodeBump", {"Strength": 0.4, "Distance": 0.02, "Height": height.outputs[0]})
    tint = n.add(
        "ShaderNodeMapRange",
        {"Value": weave.outputs[0], "From Min": 0.3, "From Max": 0.7, "To Min": 0.85, "To Max": 1.12},
    )
    colour = n.add(
        "ShaderNodeVectorMath",
        {0: tuple(skin.linear(part.colour)), "Scale": tint.outputs[0]},
        operation="SCALE",
    )
    shader = n.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": colour.outputs[0],
            "Roughness": part.roughness,
            "Specular IOR Level": 0.25,
            "Sheen Weight": part.sheen,
            "Sheen Roughness": 0.4,
            "Normal": bump.outputs[0],
        },
    )
    thing.data.materials.append(n.finish(shader))


def _light(person: Person, body: Body) -> None:
    middle = to_blender(np.mean([c for c, _ in body.eyes.values()], 0))

    def lamp(
        name: str, at: tuple[float, float, float], size: float, power: float, colour: skin.Colour
    ) -> None:
        data = bpy.data.lights.new(name, "AREA")
        data.shape, data.size, data.energy, data.color = "DISK", size, power, colour
        thing = bpy.data.objects.new(name, data)
        thing.location = middle + np.array(at)
        look = bpy.data.objects.get("aim") or bpy.data.objects.new("aim", None)
        look.location = middle - np.array([0, 0, 0.6])
        track = thing.constraints.new("TRACK_TO")
        track.target, track.track_axis, track.up_axis = look, "TRACK_NEGATIVE_Z", "UP_Y"
        bpy.context.collection.objects.link(thing)

    k, s = person.light, person.light_side
    lamp("key", (-5.5 * s, -8.5, 5.0), 4.5, 1500 * k, (1.0, 0.965, 0.92))
    lamp("catchlight", (-2.6 * s, -9.0, 2.6), 1.5, 130 * k, (1.0, 0.98, 0.96))
    lamp("fill", (7.0 * s, -8.0, 1.0), 8.0, 560 * k, (0.93, 0.965, 1.0))
    lamp("rim", (5.0 * s, 6.0, 4.5), 3.0, 520 * k * person.rim, (1.0, 0.98, 0.95))
    lamp("rim other", (-5.5 * s, 5.5, 3.5), 3.0, 330 * k * person.rim, (0.95, 0.98, 1.0))
    lamp("bounce", (0, -7.0, -5.0), 6.0, 170 * k, (1.0, 0.95, 0.9))
    # The small lamp is for the eyes alone: on skin it would leave a hard shine.
    eyes = bpy.data.collections.new("eyes")
    for side in ("left", "right"):
        eyes.objects.link(bpy.data.objects[f"eye {side}"])
    bpy.data.objects["catchlight"].light_linking.receiver_collection = eyes
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.82, 0.87, 0.95, 1)
    world.node_tree.nodes["Background"].inputs[1].default_value = 0.22 * k
    bpy.context.scene.world = world


def _camera(person: Person, body: Body) -> None:
    """85 mm on full frame; the face's height is about 42% of the picture's."""
    eyes = np.mean([c for c, _ in body.eyes.values()], 0)
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_fit, data.sensor_height, data.clip_end = 85.0, "VERTICAL", 36.0, 200.0
    data.sensor_width = 36.0
    view = person.view_height
    distance = view * data.lens / 36.0
    data.dof.use_dof = True
    data.dof.aperture_fstop = 4.0 * 10  # one unit is a decimetre, Blender takes it for a metre
    data.dof.focus_distance = distance - 0.1
    thing = bpy.data.objects.new("camera", data)
    aim = to_blender(np.array([0.0, eyes[1] + person.view_offset * view, eyes[2]]))
    thing.location = aim + np.array([0, -distance, 0])
    thing.rotation_euler = (math.radians(90), 0, 0)
    bpy.context.collection.objects.link(thing)
    bpy.context.scene.camera = thing


def _settings(width: int, height: int, samples: int) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_adaptive_sampling, scene.cycles.adaptive_threshold = (
        samples,
        True,
        0.02,
    )
    scene.cycles.use_denoising, scene.cycles.denoiser = True, "OPENIMAGEDENOISE"
    scene.cycles.max_bounces, scene.cycles.transparent_max_bounces = 6, 12
    scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces, scene.cycles.transmission_bounces = 2, 3, 6
    scene.cycles.sample_clamp_indirect = 4.0
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = (
        width,
        height,
        100,
    )
    scene.render.film_transparent = True
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.render.image_settings.color_depth = "16"
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
