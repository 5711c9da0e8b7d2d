"""Joint attention, on tiny pipelines of the real classes, against an explicit softmax."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch.nn import functional
from torch.overrides import _get_current_function_mode_stack

import hrvlab as hl
from hrvlab.attention import Rescale, SpatialMaps, TokenMeans, attach, kernel
from hrvlab.attention.kernel import Kernel, log_sum_exp
from hrvlab.errors import CoverageError, ModelError, ParameterError
from hrvlab.forecast import capture_bytes
from hrvlab.models.families import STABLE_DIFFUSION, denoiser_of, family_of, known, register_family
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.load import fingerprint
from hrvlab.models.tokens import content_columns, prompt_words, token_table, word_columns
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd
from tests.tiny_joint import JOINT, tiny_flux, tiny_sd3, tiny_sd35

PROMPTS = ["a red car", "a photo of a strange tree"]


# Stable Diffusion 3.5 is 3 with norms and a second attention.
KINDS = [pytest.param(kind, marks=pytest.mark.full) if kind == "sd3" else kind for kind in JOINT]


@pytest.fixture(scope="module", params=KINDS)
def tiny(request):
    """Return a pipeline in float64, which no test may change, and the keywords of its call."""
    kind = JOINT[request.param]
    return kind.build().to(torch.float64), {"num_inference_steps": 3} | kind.call


def run(pipe, prompts, call):
    generator = torch.Generator().manual_seed(0)
    return pipe(list(prompts), generator=generator, output_type="latent", **call).images


def encoding_of(pipe, call):
    return family_of(pipe).encoding(pipe, call)


@contextmanager
def explicit(keys, change=None):
    """Compute every attention over so many keys by explicit maps, and yield those of all calls."""
    own, seen = functional.scaled_dot_product_attention, []

    def attend(query, key, value, attn_mask=None, **how):
        if query.shape[2] != keys or key.shape[2] != keys:
            return own(query, key, value, attn_mask=attn_mask, **how)
        scores = query @ key.mT * query.shape[-1] ** -0.5
        maps = torch.softmax(scores if attn_mask is None else scores + attn_mask, dim=-1)
        if change is not None:
            maps = change(len(seen), maps.clone())
        seen.append(maps)
        return maps @ value

    functional.scaled_dot_product_attention = attend
    try:
        yield seen
    finally:
        functional.scaled_dot_product_attention = own


VARIANTS = {
    "guided": {},
    "unguided": {"guidance_scale": 1.0},
    "copies, not square": {"num_images_per_prompt": 2, "height": 16, "width": 32},
    "another guidance": {
        "flux": {"true_cfg_scale": 2.0, "negative_prompt": "a vase"},
        "chroma": {"negative_prompt": "a vase"},
        "sd3": {"skip_guidance_layers": [1], "skip_layer_guidance_stop": 0.9},
    },
}


class Layout:
    """Where text and image are in the maps of a run, and which calls and rows are the prompts'."""

    def __init__(self, pipe, call, variant):
        kind = {"FluxPipeline": "flux", "ChromaPipeline": "chroma"}.get(type(pipe).__name__, "sd3")
        self.flux = kind != "sd3"
        own = VARIANTS[variant]
        self.call = call | own.get(kind, {} if "flux" in own else own)
        self.two_calls = "true_cfg_scale" in self.call
        if kind == "chroma":
            self.two_calls = self.call.get("guidance_scale", 5.0) > 1
        self.layers = cross_attention_layers(denoiser_of(pipe))
        self.columns = len(token_table(pipe, "", **encoding_of(pipe, call)))
        self.positions = 16 * self.call.get("width", 16) // 16
        self.keys = self.columns + self.positions
        first = slice(0, self.columns)
        self.text = first if self.flux else slice(self.positions, self.keys)
        self.image = slice(self.columns, self.keys) if self.flux else slice(0, self.positions)
        self.prompts = [
            p for p in range(2) for _ in range(self.call.get("num_images_per_prompt", 1))
        ]

    def place(self, number):
        """Return the denoiser call and layer of an attention; None in calls not the prompts'."""
        per_call = len(self.layers)
        if self.two_calls:
            call, layer = divmod(number, per_call)
            return None if call % 2 else (call // 2, layer)
        return [*self.steps()][number][:2] if self.skips else divmod(number, per_call)

    @property
    def skips(self):
        """Whether there are calls that skip layers, for guidance."""
        return "skip_guidance_layers" in self.call

    def steps(self):
        """Yield call and layer of every attention, and whether its call skips a layer."""
        every = range(len(self.layers))
        for call in range(3):
            yield from ((call, layer, False) for layer in every)
            if call:
                yield from ((call, layer, True) for layer in every if layer != 1)

    def beside(self, number):
        """Whether an attention is of a call that no tap sees."""
        return self.skips and [*self.steps()][number][2]

    def rows(self, number, maps):
        """Return the prompts' rows; calls that skip layers have no others."""
        guided = not self.flux and self.call.get("guidance_scale", 7.0) > 1
        return maps[len(maps) // 2 :] if guided and not self.beside(number) else maps


@pytest.mark.parametrize("variant", VARIANTS)
def test_observing_changes_nothing_and_sees_the_explicit_maps(tiny, variant):
    pipe, call = tiny
    layout = Layout(pipe, call, variant)
    call = layout.call
    tap = TokenMeans()
    with attach(pipe, tap, prompts=PROMPTS, encoding=encoding_of(pipe, call)) as session:
        observed = run(pipe, PROMPTS, call)
    assert torch.equal(run(pipe, PROMPTS, call), observed)
    assert session.scheduler_timesteps == pipe.scheduler.timesteps.tolist()
    with explicit(layout.keys) as seen:
        run(pipe, PROMPTS, call)
    found = tap.result()
    assert found.shape[:4] == (len(layout.prompts), 3, len(layout.layers), 2)
    places = [layout.place(number) for number in range(len(seen))]
    assert {place for place in places if place} == set(np.ndindex(3, len(layout.layers)))
    for number, (place, maps) in enumerate(zip(places, seen, strict=True)):
        if place is not None and not layout.beside(number):
            expected = layout.rows(number, maps)[:, :, layout.image, layout.text].mean(dim=2)
            np.testing.assert_allclose(found[:, *place], expected, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rescaling_equals_scaling_what_the_image_reads(tiny, variant):
    pipe, call = tiny
    layout = Layout(pipe, call, variant)
    call, own = layout.call, encoding_of(pipe, layout.call)
    heads = 2 * len(layout.layers)
    factors = np.linspace(-2, 3, heads)
    with attach(pipe, Rescale(factors), prompts=PROMPTS, encoding=own):
        edited = run(pipe, PROMPTS, call)
    with attach(pipe, Rescale(factors), TokenMeans(), prompts=PROMPTS, encoding=own):
        assert torch.equal(edited, run(pipe, PROMPTS, call))
    plain = run(pipe, PROMPTS, call)
    with attach(pipe, Rescale(np.ones(heads)), prompts=PROMPTS, encoding=own):
        assert torch.equal(plain, run(pipe, PROMPTS, call))
    columns = [content_columns(pipe, PROMPTS[prompt], **own) for prompt in layout.prompts]

    def change(number, maps):
        place = layout.place(number)
        if place is not None:
            of_layer = torch.from_numpy(factors[layout.layers[place[1]].head_positions])
            for row, chosen in zip(layout.rows(number, maps), columns, strict=True):
                row[:, layout.image, layout.text][..., chosen] *= of_layer[:, None, None]
        return maps

    with explicit(layout.keys, change):
        expected = run(pipe, PROMPTS, call)
    assert not torch.allclose(edited, plain, atol=1e-2)
    torch.testing.assert_close(edited, expected, rtol=1e-5, atol=1e-5)


def test_a_capture_has_the_share_of_all_text_columns_and_maps_of_words(tiny):
    pipe, call = tiny
    call = call | {"progress": False}
    tree = hl.capture(pipe, PROMPTS, maps=["a"], batch_size=1, **call)
    captured = tree.to_dataset()
    np.testing.assert_array_equal(
        captured["image"], hl.generate(pipe, PROMPTS, batch_size=1, **call)
    )
    mass = captured["text_mass"]
    np.testing.assert_allclose(mass, captured["attention"].sum("token"), atol=1e-6)
    size = {"prompts": 2, "calls": 3, "tokens": captured.sizes["token"], "image_size": (16, 16)}
    forecast = capture_bytes(cross_attention_layers(denoiser_of(pipe)), **size)
    assert forecast["text_mass"] == mass.nbytes
    assert ((mass > 0) & (mass < 1)).all()
    padding = captured["token_kind"] == "padding"
    assert (captured["attention"].where(padding).max("token") > 0).all()  # it is read
    own = encoding_of(pipe, call)
    (node,) = tree.children.values()
    assert node.sizes["map_y"] == node.sizes["map_x"] == 4
    for prompt, text in enumerate(PROMPTS):
        columns = word_columns(pipe, text, "a", **own)
        found = node["maps"].isel(prompt=prompt, map_word=0).mean(("map_y", "map_x"))
        expected = captured["attention"].isel(prompt=prompt, token=columns).sum("token")
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_padding_that_is_joined_is_one_column_of_each_encoder(tiny):
    pipe, call = tiny
    call = call | {"num_inference_steps": 1, "progress": False}
    every, joined = (hl.capture(pipe, PROMPTS, join_padding=own, **call) for own in (False, True))
    encoders = 2 if "encoder" in joined.coords else 1
    common = (joined["token_kind"] == "padding").all("prompt")
    assert common.sum() == encoders
    assert joined.sizes["token"] < every.sizes["token"]
    np.testing.assert_array_equal(joined["image"], every["image"])
    for kind in ("content", "end", "padding"):
        sums = [
            one["attention"].where(one["token_kind"] == kind).sum("token")
            for one in (joined, every)
        ]
        np.testing.assert_allclose(*sums, rtol=1e-5)
    words = [one["word"].values[one["token_kind"].values == "content"] for one in (joined, every)]
    np.testing.assert_array_equal(*words)
    np.testing.assert_allclose(joined["text_mass"], every["text_mass"], rtol=1e-5)


def test_maps_lie_on_the_grid_of_an_image_that_is_not_square(tiny):
    pipe, call = tiny
    call = call | {"height": 16, "width": 32, "num_inference_steps": 1}
    layout = Layout(pipe, call, "guided")
    own = encoding_of(pipe, call)
    tap = SpatialMaps([[word_columns(pipe, "a red car", "red", **own)]], {1: 2})
    with attach(pipe, tap, prompts="a red car", encoding=own):
        run(pipe, PROMPTS[:1], call)
    with explicit(layout.keys) as seen:
        run(pipe, PROMPTS[:1], call)
    red = word_columns(pipe, "a red car", "red", **own)
    expected = layout.rows(1, seen[1])[:, :, layout.image, layout.text][..., red].sum(dim=-1)
    (maps,) = tap.result().values()
    np.testing.assert_allclose(maps[:, :, 0], expected.unflatten(-1, (4, 8)), atol=1e-6)


def test_without_the_kernels_own_sums_maps_are_the_same(tiny, monkeypatch):
    pipe, call = tiny
    call = call | {"num_inference_steps": 1, "progress": False}
    found = hl.capture(pipe, PROMPTS, **call)

    def another_output(query, *given):
        return query, query[..., 0]

    def another_sum(query, key, value, bias, scale):
        output, log_sum = kernel._on_cpu(query, key, value, bias, scale)
        return output, log_sum + 1

    def not_taken(*given):
        raise RuntimeError

    monkeypatch.setattr(kernel, "AT_ONCE", 100)  # numbers: some positions at a time
    for unsound in (not_taken, another_output, another_sum):
        monkeypatch.setattr(kernel, "KERNELS", {"cpu": {kernel.FLASH: unsound}})
        fallback = hl.capture(pipe, PROMPTS, **call)
        np.testing.assert_array_equal(found["image"], fallback["image"])
        np.testing.assert_allclose(found["attention"], fallback["attention"], atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float64, torch.bool, None])
def test_the_log_of_the_denominator_counts_masks(kind):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 9, 8, dtype=torch.float64)
    bias = (
        None
        if kind is None
        else torch.randn(2, 1, 9, 9) > 0
        if kind is torch.bool
        else torch.randn(2, 1, 9, 9, dtype=kind)
    )
    scores = query @ key.mT * 0.3
    if kind is torch.bool:
        scores = scores.masked_fill(~bias, -torch.inf)
    elif kind is not None:
        scores = scores + bias
    for _ in range(2):
        output, log_sum = Kernel().attend(query, key, value, bias, 0.3)
        torch.testing.assert_close(output, scores.softmax(-1) @ value)
        torch.testing.assert_close(log_sum, scores.logsumexp(-1))
    torch.testing.assert_close(log_sum_exp(query, key, bias, 0.3), log_sum)


def stack():
    return _get_current_function_mode_stack()


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_exception_within_attention_leaves_no_trace(error):
    pipe = tiny_sd35()
    call = {"num_inference_steps": 2, "max_sequence_length": 24}
    plain = run(pipe, PROMPTS, call)

    def fail(*_):
        raise error

    module = pipe.transformer.transformer_blocks[1].attn.to_q
    handle = module.register_forward_hook(fail)
    with (
        pytest.raises(error),
        attach(pipe, TokenMeans(), prompts=PROMPTS, encoding=encoding_of(pipe, call)),
    ):
        run(pipe, PROMPTS, call)
    handle.remove()
    assert not stack()
    for module in pipe.transformer.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.equal(plain, run(pipe, PROMPTS, call))


@pytest.fixture
def by_mode(monkeypatch):
    """Return Stable Diffusion's pipeline, read where PyTorch computes its attention."""
    monkeypatch.setattr(known, "_registered", [])
    pipe = tiny_sd()
    pipe.__class__ = type("Other", (type(pipe).__mro__[1],), dict(vars(type(pipe))))
    register_family(replace(STABLE_DIFFUSION, name="Mine", pipelines=("Other",), by_mode=True))
    assert family_of(pipe).by_mode
    return pipe


def test_reading_by_the_mode_equals_reading_by_hooks(by_mode, concepts):
    call = {"num_inference_steps": 2, "progress": False}
    edit = Rescale(np.linspace(-2, 3, 8), "red")
    found = []
    for pipe in (tiny_sd(), by_mode):
        captured = hl.capture(pipe, PROMPTS, **call)
        edited = hl.generate(pipe, "a red car", edit=edit, **call)
        votes = hl.collect_votes(pipe, concepts, PROMPTS, **call)
        found.append((captured["attention"], captured["image"], edited, votes["votes_by_prompt"]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_attachs_at_a_time_are_refused():
    pipe = tiny_sd3()
    with (
        pytest.raises(ParameterError, match="give all taps and edits to it"),
        attach(pipe, TokenMeans(), prompts="a red car"),
        attach(pipe, TokenMeans(), prompts="a red car"),
    ):
        pass


def test_a_processor_without_pytorchs_attention_is_refused():
    pipe = tiny_flux()
    call = JOINT["flux"].call | {"num_inference_steps": 2}

    class Zeros:
        def __call__(self, attn, hidden_states, encoder_hidden_states=None, *_):
            out = torch.zeros_like(hidden_states)
            return (
                out
                if encoder_hidden_states is None
                else (out, torch.zeros_like(encoder_hidden_states))
            )

    pipe.transformer.transformer_blocks[1].attn.set_processor(Zeros())
    own = encoding_of(pipe, call)
    with (
        pytest.raises(CoverageError, match=r"1 of 4 .* first transformer_blocks\.1\.attn"),
        attach(pipe, TokenMeans(), prompts=PROMPTS, encoding=own),
    ):
        run(pipe, PROMPTS, call)
    assert not stack()


def test_fused_projections_are_refused_where_they_leave_out_norms():
    pipe = tiny_sd35()
    pipe.transformer.fuse_qkv_projections()
    with (
        pytest.raises(ModelError, match="leaves out its norms"),
        attach(pipe, TokenMeans(), prompts="a red car"),
    ):
        pass


def test_an_ip_adapter_is_refused():
    pipe = tiny_flux()
    processor = FluxIPAdapterAttnProcessor(hidden_size=16, cross_attention_dim=16)
    pipe.transformer.transformer_blocks[0].attn.set_processor(processor)
    with (
        pytest.raises(ModelError, match=r"call pipe.unload_ip_adapter\(\) first"),
        attach(pipe, TokenMeans(), prompts="a red car"),
    ):
        pass


def test_fused_projections_of_flux_are_the_same_model():
    pipe, call = tiny_flux(), JOINT["flux"].call | {"num_inference_steps": 2, "progress": False}
    plain = hl.capture(pipe, "a red car", **call)
    pipe.transformer.fuse_qkv_projections()
    fused = hl.capture(pipe, "a red car", **call)
    np.testing.assert_allclose(plain["attention"], fused["attention"], atol=1e-5)


def test_a_negative_prompt_that_is_the_prompt_is_refused_where_it_has_calls_of_its_own():
    pipe = tiny_flux()
    call = JOINT["flux"].call | {"num_inference_steps": 2, "true_cfg_scale": 2.0, "progress": False}
    with pytest.raises(ParameterError, match="give another negative prompt"):
        hl.capture(pipe, "a red car", negative_prompt="a red car", **call)


def call_denoiser(pipe, latents, states, pooled, moment):
    """Call FLUX's denoiser as a loop of one's own does."""
    side = int(latents.shape[1] ** 0.5)
    return pipe.transformer(
        latents,
        encoder_hidden_states=states,
        pooled_projections=pooled,
        timestep=torch.tensor([moment]),
        img_ids=pipe._prepare_latent_image_ids(1, side, side, "cpu", torch.float32),
        txt_ids=torch.zeros(states.shape[1], 3),
        guidance=torch.tensor([3.5]),
        return_dict=False,
    )[0]


def test_a_loop_of_ones_own_is_read_by_its_text_states():
    pipe, own = tiny_flux(), {"max_sequence_length": 24}
    pipe._current_timestep = torch.tensor(700.0)  # as an interrupted call leaves it
    latents = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
    tap = TokenMeans()
    with torch.no_grad(), attach(pipe, tap, prompts="a red car", encoding=own) as session:
        states, pooled, _ = pipe.encode_prompt("a red car", **own)
        for moment in (0.9, 0.4):
            for text in (torch.zeros_like(states), states):
                call_denoiser(pipe, latents, text, pooled, moment)
    np.testing.assert_allclose(session.scheduler_timesteps, [900.0, 400.0], rtol=1e-5)
    assert tap.result().shape == (1, 2, 4, 2, 24)


def test_gradients_pass_through_layers_that_are_read():
    pipe, own = tiny_flux(), {"max_sequence_length": 24}
    with torch.no_grad():
        states, pooled, _ = pipe.encode_prompt("a red car", **own)
    gradients = []
    for attached in (nullcontext(), attach(pipe, TokenMeans(), prompts="a red car", encoding=own)):
        latents = torch.ones(1, 16, 16).cumsum(dim=1).requires_grad_()
        with attached:
            call_denoiser(pipe, latents, states, pooled, 0.9).square().sum().backward()
        gradients.append(latents.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)


def test_methods_that_are_not_defined_are_refused_with_the_reason(tiny):
    pipe, _ = tiny
    with pytest.raises(ModelError, match="does not support attention injection"):
        hl.edit(pipe, "a red car", "a blue car")
    with pytest.raises(ModelError, match="does not support attention excitation"):
        hl.excite(pipe, "a red car", "red")


@pytest.mark.parametrize("kind", ["sd3.5", "flux"])
def test_images_that_begin_alike_are_edited_apart(kind):
    pipe, call = JOINT[kind].build(), JOINT[kind].call | {"num_inference_steps": 2}
    factors = np.stack([np.full(8 if kind == "flux" else 6, factor) for factor in (1.0, -2.0)])
    prompts = ["a red car"] * 2
    own = encoding_of(pipe, call)
    with attach(pipe, Rescale(factors, "red"), prompts=prompts, encoding=own):
        plain, edited = pipe(
            prompts,
            generator=[torch.Generator().manual_seed(0) for _ in prompts],
            output_type="latent",
            **call,
        ).images
    (alone,) = run(pipe, prompts[:1], call)
    torch.testing.assert_close(plain, alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain, edited, atol=1e-2)


def test_vectors_steer_the_image():
    for kind in ("sd3.5", "flux"):
        pipe, call = JOINT[kind].build(), JOINT[kind].call | {"num_inference_steps": 2}
        call |= {"progress": False}
        hrv = vectors(pipe)
        plain = hl.generate(pipe, "a red car", **call)
        for edit in (
            hl.strengthen(hrv, "Color", word="red"),
            hl.adjust(hrv, toward="Color", away="Plants", word="red", clamp=2.0),
        ):
            assert (hl.generate(pipe, "a red car", edit=edit, **call) != plain).any()


def test_a_saved_pipeline_is_loaded_as_the_same_model(tmp_path):
    for kind in ("sd3.5", "flux"):
        pipe, call = JOINT[kind].build(), JOINT[kind].call | {"num_inference_steps": 1}
        pipe.save_pretrained(tmp_path / kind)
        loaded = hl.load(tmp_path / kind, device="cpu")
        assert fingerprint(loaded) == fingerprint(pipe)
        assert torch.equal(run(loaded, PROMPTS, call), run(pipe, PROMPTS, call))


@pytest.mark.parametrize("kind", ["sd3.5", "flux"])
def test_a_lora_is_read_with_its_change_at_its_scale(kind, tmp_path):
    pipe, plain = (JOINT[kind].build() for _ in range(2))
    call = JOINT[kind].call | {"num_inference_steps": 1, "progress": False}
    plain.save_pretrained(tmp_path / "model")
    config = {"r": 2, "lora_alpha": 2, "init_lora_weights": False}  # a file has no alpha
    config |= {"target_modules": ["to_k", "add_k_proj", "add_v_proj"]}
    pipe.transformer.add_adapter(LoraConfig(**config))
    weights = get_peft_model_state_dict(pipe.transformer)
    (tmp_path / "style").mkdir()
    named = {f"transformer.{name}": value for name, value in weights.items()}
    save_file(named, tmp_path / "style" / "pytorch_lora_weights.safetensors")
    loaded = hl.load(tmp_path / "model", lora=f"{tmp_path / 'style'}:0.5", device="cpu")
    assert fingerprint(loaded) != fingerprint(plain)
    model = fingerprint(pipe)
    by_call = hl.capture(pipe, PROMPTS, joint_attention_kwargs={"scale": 0.5}, **call)
    hl.generate(pipe, PROMPTS, joint_attention_kwargs={"scale": 0}, **call)
    assert fingerprint(pipe) == model
    pipe.set_adapters(["default"], [0.5])
    by_strength, by_file, without = (
        hl.capture(one, PROMPTS, **call)["attention"] for one in (pipe, loaded, plain)
    )
    np.testing.assert_array_equal(by_strength, by_file)
    np.testing.assert_array_equal(by_strength, by_call["attention"])
    assert (np.abs(by_strength - without) > 1e-3).any()


def test_a_word_has_columns_of_both_encoders():
    pipe, own = tiny_sd3(), {"max_sequence_length": 24}
    table = token_table(pipe, "A Red  car, red", **own)
    assert len(table) == 20 + 24
    assert [token.encoder for token in table] == ["clip"] * 20 + ["t5"] * 24
    for encoder in ("clip", "t5"):
        kinds = [token.kind for token in table if token.encoder == encoder]
        assert kinds.count("end") == 1
        assert kinds[-1] == "padding"
    for word in ("red", "Red", "car"):
        columns = word_columns(pipe, "A Red  car, red", word, **own)
        assert {table[column].encoder for column in columns} == {"clip", "t5"}
    captured = hl.capture(pipe, "a red", num_inference_steps=1, progress=False, **own)
    assert captured["encoder"].dims == ("prompt", "token")


def test_a_word_beyond_clips_columns_has_those_of_t5():
    pipe, own = tiny_sd3(), {"max_sequence_length": 60}
    prompt = "a red cat and " * 6 + "tree"
    columns = word_columns(pipe, prompt, "tree", **own)
    table = token_table(pipe, prompt, **own)
    assert {table[column].encoder for column in columns} == {"t5"}
    (tree,) = [word for word in prompt_words(pipe, prompt, **own) if word.text == "tree"]
    assert tree.whole
    assert tree.columns == columns


@pytest.mark.parametrize(
    ("cls", "heads", "last"),
    [
        (SD3Transformer2DModel, 18 * 18, "double, layer: 17, head: 17"),
        (FluxTransformer2DModel, (19 + 38) * 24, "single, layer: 37, head: 23"),
    ],
)
def test_head_tables_of_the_published_sizes(cls, heads, last):
    with torch.device("meta"):
        table = hl.head_table(cls())
    assert table.sizes["head_position"] == heads
    assert table["label"].values[-1] == last
    assert set(table["grid"].values) == {64}
