"""The cards that gapless knows: facts with their sources, and the score ranges that were measured.

A fact that was not found in a source is left out; a range is here only when its data were at hand.
"""

from __future__ import annotations

from .cards import ModelCard, ScoreRange, Spread

__all__ = ["CARDS"]

CLIP_PAPER = "Radford et al. 2021, arXiv 2103.00020"
CLIP_CARD = "github.com/openai/CLIP model-card.md"
CLIP_LICENCE = "github.com/openai/CLIP LICENSE"
OPEN_CLIP = "github.com/mlfoundations/open_clip docs/model_profile.csv"
SIGLIP_PAPER = "Zhai et al. 2023, arXiv 2303.15343"
SIGLIP2_PAPER = "Tschannen et al. 2025, arXiv 2502.14786"
GR_CLIP = "Li et al. 2025, arXiv 2507.19054, Table 1"
JINA1_PAPER = "Koukounas et al. 2024, arXiv 2405.20204"
JINA2_PAPER = "Koukounas et al. 2024, arXiv 2412.08802"
CLAP_PAPER = "Wu et al. 2023, arXiv 2211.06687"
BGE_PAPER = "Xiao et al. 2023, arXiv 2309.07597"
HUB = "model card on the hub"
LOGISTIC = "logit_scale (4.72445, of exp) and logit_bias of its weights, quoted by SortaPhotos"
COCO = "500 MS-COCO images with a caption each (Liang et al. 2022, Figure 1), measured by gapless"
ICONS = "held-out icons of the demo (Font Awesome, Codicons, Elusive), measured by gapless"

STATED = (
    *("dim", "languages", "licence", "parameters", "max_tokens", "data", "pairs"),
    *("strengths", "weaknesses"),
)


def _clip(patch: str, dim: int, millions: float, scores: tuple[ScoreRange, ...] = ()) -> ModelCard:
    return ModelCard(
        name=f"openai/clip-vit-{patch}",
        modalities=("image", "text"),
        dim=dim,
        languages=("en",),
        licence="MIT",
        commercial=True,
        parameters=round(millions * 1e6),
        max_tokens=77,
        data="WebImageText: pictures of the web with the text beside them",
        pairs=400_000_000,
        strengths=("objects and scenes of the web at large", "every tool can run it"),
        weaknesses=(
            "counting and fine-grained classes",
            "as a text retriever far below models made for it",
            "its card wants tests in the domain before it is put to use",
        ),
        good_for=frozenset({"photos"}),
        bad_for=frozenset({"fine_grained", "text_to_text", "long_text"}),
        scores=scores,
        onnx=f"Xenova/clip-vit-{patch}",
        sources={
            **dict.fromkeys(STATED, CLIP_PAPER),
            "languages": CLIP_CARD,
            "licence": CLIP_LICENCE,
            "parameters": OPEN_CLIP,
            "weaknesses": f"{CLIP_CARD}; {JINA1_PAPER}",
        },
    )


def _siglip(name: str, dim: int, millions: float, onnx: str | None) -> ModelCard:
    return ModelCard(
        name=f"google/siglip-{name}",
        modalities=("image", "text"),
        dim=dim,
        languages=("en",),
        licence="Apache-2.0",
        commercial=True,
        parameters=round(millions * 1e6),
        max_tokens=64,
        data="WebLI, its English pairs",
        strengths=(
            "trained without competition within the batch, so that a batch need not be large",
            "best mean of MixBench once its gap is centred away (SigLIP-400m, nDCG@10 .67)",
        ),
        weaknesses=("texts beyond 64 tokens", "MixBench collapses without centring (.41)"),
        good_for=frozenset({"photos"}),
        bad_for=frozenset({"long_text"}),
        onnx=onnx,
        sources={
            "dim": OPEN_CLIP,
            "languages": HUB,
            "licence": HUB,
            "parameters": OPEN_CLIP,
            "max_tokens": HUB,
            "data": HUB,
            "strengths": f"{SIGLIP_PAPER}; {GR_CLIP}",
            "weaknesses": f"{HUB}; {GR_CLIP}",
        },
    )


def _siglip2(
    name: str,
    dim: int,
    parameters: int,
    onnx: str | None = None,
    logistic: tuple[float, float] | None = None,
) -> ModelCard:
    return ModelCard(
        name=f"google/siglip2-{name}",
        modalities=("image", "text"),
        dim=dim,
        languages=("multilingual",),
        licence="Apache-2.0",
        commercial=True,
        parameters=parameters,
        max_tokens=64,
        data="WebLI: 10 billion images, alternative texts in 109 languages",
        pairs=12_000_000_000,
        strengths=(
            "many languages",
            "text in pictures, from captioning beside the contrastive loss",
        ),
        weaknesses=("texts beyond 64 tokens, which are padded to that length and lower-cased",),
        good_for=frozenset({"photos", "documents"}),
        bad_for=frozenset({"long_text"}),
        logistic=logistic,
        onnx=onnx,
        sources={
            **dict.fromkeys(STATED, SIGLIP2_PAPER),
            **dict.fromkeys(("dim", "licence", "parameters"), HUB),
            **({"logistic": LOGISTIC} if logistic else {}),
        },
    )


def _bge(size: str, dim: int, millions: float, onnx: str) -> ModelCard:
    return ModelCard(
        name=f"BAAI/bge-{size}-en-v1.5",
        modalities=("text",),
        dim=dim,
        languages=("en",),
        licence="MIT",
        commercial=True,
        parameters=round(millions * 1e6),
        max_tokens=512,
        data="unlabelled text pairs, then labelled ones with mined negatives",
        strengths=("text retrieval", "queries need no instruction since v1.5"),
        weaknesses=(
            "sees no pictures: a space of its own",
            "unrelated texts score high too; only the order of scores counts",
        ),
        good_for=frozenset({"text_to_text"}),
        onnx=onnx,
        sources={
            "dim": HUB,
            "languages": HUB,
            "licence": HUB,
            "parameters": "bge-model.com, BGE v1 and v1.5",
            "max_tokens": HUB,
            "data": BGE_PAPER,
            "strengths": HUB,
            "weaknesses": HUB,
        },
    )


CARDS: tuple[ModelCard, ...] = (
    ModelCard(
        name="gapless.demo",
        modalities=("image", "text"),
        dim=192,
        languages=("en",),
        licence="Apache-2.0",
        commercial=True,
        parameters=5_719_240,
        data="icons of Material Design, Remix and Phosphor with their names",
        pairs=13_916,
        strengths=(
            "icons by their names, with no download",
            "little gap: centroids .149 apart",
        ),
        weaknesses=("knows icons only", "reads a text as a bag of words"),
        good_for=frozenset({"icons"}),
        bad_for=frozenset({"photos", "documents", "long_text", "fine_grained"}),
        scores=(
            ScoreRange(
                ("image", "image"),
                Spread(576, 0.688, 0.292, 0.107, 0.800, 0.985),
                Spread(199_899, 0.009, 0.163, -0.228, -0.006, 0.299),
                0.962,
                f"{ICONS}; matched: two icons of one name",
            ),
            ScoreRange(
                ("image", "text"),
                Spread(2_817, 0.286, 0.230, -0.102, 0.298, 0.612),
                Spread(199_915, 0.005, 0.145, -0.229, 0.002, 0.247),
                0.836,
                f"{ICONS}; matched: an icon and its name",
            ),
            ScoreRange(
                ("text", "text"),
                None,
                Spread(199_923, 0.022, 0.153, -0.225, 0.020, 0.275),
                None,
                f"{ICONS}; each name once",
            ),
        ),
        sources=dict.fromkeys(
            [name for name in STATED if name != "max_tokens"],
            "metrics.json and README.md of the packaged model",
        ),
    ),
    _clip(
        "base-patch32",
        512,
        151.28,
        (
            ScoreRange(
                ("image", "image"),
                None,
                Spread(199_581, 0.532, 0.096, 0.389, 0.524, 0.710),
                None,
                COCO,
            ),
            ScoreRange(
                ("image", "text"),
                Spread(500, 0.310, 0.032, 0.257, 0.310, 0.363),
                Spread(199_624, 0.161, 0.048, 0.092, 0.156, 0.255),
                0.989,
                COCO,
            ),
            ScoreRange(
                ("text", "text"),
                None,
                Spread(199_640, 0.515, 0.110, 0.335, 0.513, 0.702),
                None,
                COCO,
            ),
        ),
    ),
    _clip("base-patch16", 512, 149.62),
    _clip("large-patch14", 768, 427.62),
    _siglip("base-patch16-224", 768, 203.16, "Xenova/siglip-base-patch16-224"),
    _siglip("so400m-patch14-384", 1152, 877.96, None),
    _siglip2(
        "base-patch16-224",
        768,
        375_187_970,
        "onnx-community/siglip2-base-patch16-224-ONNX",
        (112.6685, -16.77172),
    ),
    _siglip2("so400m-patch16-512", 1152, 1_136_556_698),
    ModelCard(
        name="apple/MobileCLIP-S0",
        modalities=("image", "text"),
        dim=512,
        licence="apple-amlr",
        commercial=False,
        parameters=53_800_000,
        max_tokens=77,
        data="DataCompDR: pictures of the web with synthetic captions and vectors of teachers",
        strengths=("small and quick", "about the accuracy of CLIP ViT-B/16"),
        weaknesses=("the licence is for research",),
        good_for=frozenset({"photos"}),
        bad_for=frozenset({"long_text"}),
        onnx="Xenova/mobileclip_s0",
        sources={
            "dim": "github.com/apple/ml-mobileclip",
            "licence": HUB,
            "parameters": HUB,
            "max_tokens": "tokenizer of the export Xenova/mobileclip_s0",
            "data": "Vasu et al. 2024, arXiv 2311.17049",
            "strengths": "Vasu et al. 2024, arXiv 2311.17049",
            "weaknesses": HUB,
        },
    ),
    ModelCard(
        name="jinaai/jina-clip-v1",
        modalities=("image", "text"),
        dim=768,
        languages=("en",),
        licence="Apache-2.0",
        commercial=True,
        parameters=223_000_000,
        max_tokens=8192,
        data="picture-caption and text pairs in turn, long captions, triplets with hard negatives",
        strengths=("retrieves texts by texts as well as pictures", "long texts"),
        weaknesses=("pictures of 224 pixels", "its int8 text graph breaks beyond 16 tokens"),
        good_for=frozenset({"photos", "text_to_text", "long_text"}),
        onnx="jinaai/jina-clip-v1",
        sources={
            **dict.fromkeys(STATED[:5], "jina.ai/models/jina-clip-v1"),
            "data": JINA1_PAPER,
            "strengths": JINA1_PAPER,
            "weaknesses": "jina.ai/models/jina-clip-v1; files of its repository on the hub",
        },
    ),
    ModelCard(
        name="jinaai/jina-clip-v2",
        modalities=("image", "text"),
        dim=1024,
        languages=("multilingual",),
        licence="CC-BY-NC-4.0",
        commercial=False,
        parameters=865_000_000,
        max_tokens=8192,
        truncated_dims=(512, 256, 128, 64),
        data="pairs and triplets of texts, pictures with captions in 30 languages, documents",
        strengths=(
            "89 languages, pictures of 512 pixels",
            "visually rich documents",
            "retrieves texts by texts as well as pictures",
        ),
        weaknesses=("no commercial use without another licence", "large"),
        good_for=frozenset({"photos", "documents", "text_to_text", "long_text"}),
        onnx="jinaai/jina-clip-v2",
        sources={
            "dim": JINA2_PAPER,
            "languages": HUB,
            "licence": "jina.ai/models/jina-clip-v2",
            "parameters": "jina.ai/models/jina-clip-v2",
            "max_tokens": "jina.ai/models/jina-clip-v2",
            "truncated_dims": HUB,
            "data": JINA2_PAPER,
            "strengths": f"{HUB}; {JINA2_PAPER}",
            "weaknesses": "jina.ai/models/jina-clip-v2",
        },
    ),
    ModelCard(
        name="nomic-ai/nomic-embed-vision-v1.5",
        modalities=("image", "text"),
        dim=768,
        languages=("en",),
        licence="Apache-2.0",
        commercial=True,
        parameters=229_000_000,
        max_tokens=8192,
        data="a vision tower fitted to the space of nomic-embed-text-v1.5",
        strengths=("its text tower is a text retriever of its own (MTEB 62.28)", "long texts"),
        weaknesses=("texts need the prefixes search_query: and search_document:",),
        good_for=frozenset({"photos", "text_to_text", "long_text"}),
        onnx="nomic-ai/nomic-embed-vision-v1.5",
        sources={
            "dim": HUB,
            "languages": HUB,
            "licence": HUB,
            "parameters": "nomic.ai/blog/posts/nomic-embed-vision (92 M + 137 M)",
            "max_tokens": HUB,
            "data": "nomic.ai/blog/posts/nomic-embed-vision",
            "strengths": "nomic.ai/blog/posts/nomic-embed-vision",
            "weaknesses": HUB,
        },
    ),
    ModelCard(
        name="laion/clap-htsat-unfused",
        modalities=("audio", "text"),
        dim=512,
        languages=("en",),
        licence="Apache-2.0",
        commercial=True,
        data="LAION-Audio-630K: sounds of eight libraries with their descriptions",
        pairs=633_526,
        strengths=("sounds and sound effects by description", "music"),
        weaknesses=("what is said in speech", "rare sounds", "hears windows of 10 s"),
        good_for=frozenset({"sound", "music"}),
        bad_for=frozenset({"speech"}),
        onnx="Xenova/clap-htsat-unfused",
        sources={
            "dim": HUB,
            "languages": CLAP_PAPER,
            "licence": HUB,
            "data": CLAP_PAPER,
            "pairs": CLAP_PAPER,
            "strengths": CLAP_PAPER,
            "weaknesses": "Mixpeek, a guide to contrastive learning; preprocessor_config.json",
        },
    ),
    _bge("small", 384, 33.4, "qdrant/bge-small-en-v1.5-onnx-q"),
    _bge("base", 768, 109, "qdrant/bge-base-en-v1.5-onnx-q"),
    _bge("large", 1024, 335, "qdrant/bge-large-en-v1.5-onnx"),
    ModelCard(
        name="sentence-transformers/all-MiniLM-L6-v2",
        modalities=("text",),
        dim=384,
        languages=("en",),
        licence="Apache-2.0",
        commercial=True,
        parameters=22_700_000,
        max_tokens=256,
        data="sentence pairs of forums, questions, captions and papers",
        pairs=1_000_000_000,
        strengths=("small and quick",),
        weaknesses=("sees no pictures: a space of its own", "texts beyond 256 tokens"),
        good_for=frozenset({"text_to_text"}),
        bad_for=frozenset({"long_text"}),
        onnx="Xenova/all-MiniLM-L6-v2",
        sources=dict.fromkeys(STATED, HUB),
    ),
)
