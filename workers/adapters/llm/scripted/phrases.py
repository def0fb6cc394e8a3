"""What the scripted model says and recognises besides knowledge, by language."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """Cues are compared with whole utterances in lower case; `human_cues` are looked for in them."""

    greeting_cues: frozenset[str]
    thanks_cues: frozenset[str]
    goodbye_cues: frozenset[str]
    repeat_cues: frozenset[str]
    help_cues: frozenset[str]
    identity_cues: frozenset[str]
    yes_cues: frozenset[str]
    human_cues: tuple[str, ...]
    greeting: str
    thanks: str
    goodbye: str
    nothing_to_repeat: str
    help: str
    help_without_topics: str
    identity: str
    acknowledged: str
    unknown: str
    unknown_with_topics: str
    stop_words: frozenset[str]
    also: str = ", "
    final_also: str = " and "


_STOP_WORDS = frozenset(
    """a an the of to in on at for from by with and or but if then than so as is are was were be been am
    do does did can could will would shall should may might must have has had i me my you your he she it
    its we our us they them their this that these those there here what which who whom whose when where
    why how please tell about know like want need get got just also any some not no yes ok okay hello hi
    hey thanks thank let say said much many more most very really still actually maybe question ask
    explain give something anything everything one""".split()  # noqa: SIM905 - a list of 150 strings reads worse
)

ENGLISH = Phrases(
    greeting_cues=frozenset(
        {"hello", "hi", "hey", "hello there", "hi there", "good morning", "good afternoon", "good evening"}
    ),
    thanks_cues=frozenset({"thanks", "thank you", "thank you very much", "thanks a lot", "great thanks"}),
    goodbye_cues=frozenset({"bye", "goodbye", "bye bye", "see you", "that is all", "that's all"}),
    repeat_cues=frozenset(
        {
            "what",
            "pardon",
            "sorry",
            "repeat that",
            "say that again",
            "can you repeat that",
            "could you repeat that",
            "please repeat that",
            "come again",
            "what did you say",
            "once more",
        }
    ),
    help_cues=frozenset(
        {
            "help",
            "what can you do",
            "what do you know",
            "what can i ask",
            "what can i ask you",
            "how can you help",
            "how can you help me",
            "can you help me",
        }
    ),
    identity_cues=frozenset(
        {"who are you", "what are you", "are you human", "are you a robot", "are you real"}
    ),
    yes_cues=frozenset({"yes", "no", "ok", "okay", "good", "great", "sure", "fine", "all right", "alright"}),
    human_cues=(
        *(
            "talk to a human",
            "talk to a person",
            "talk to a real person",
            "talk to someone",
            "talk to somebody",
        ),
        *("speak to a human", "speak to a person", "speak to a real person", "speak to someone"),
        *("speak to somebody", "speak with a human", "speak with a person", "talk with a human"),
        *("a human agent", "a real human", "a human please", "human being", "customer service agent"),
    ),
    greeting="Hello! What would you like to know?",
    thanks="You are welcome! Is there anything else you would like to know?",
    goodbye="Goodbye, and thank you for stopping by!",
    nothing_to_repeat="I have not said anything yet. What would you like to know?",
    help="I can tell you about {topics}. Just ask.",
    help_without_topics="Ask me something, and I will look for it in what I was told.",
    identity="I am an automated assistant. I answer from the notes that I was given.",
    acknowledged="All right. What else would you like to know?",
    unknown="I am sorry, my notes say nothing about that, and no language model is set up here, "
    "so I would rather not guess.",
    unknown_with_topics="I am sorry, my notes say nothing about that, and no language model is set up here, "
    "so I would rather not guess. You can ask me about {topics}.",
    stop_words=_STOP_WORDS,
)

JAPANESE = Phrases(
    greeting_cues=frozenset(
        {"こんにちは", "こんばんは", "おはよう", "おはようございます", "はじめまして", "やあ"}
    ),
    thanks_cues=frozenset(
        {"ありがとう", "ありがとうございます", "どうもありがとう", "どうも", "助かりました"}
    ),
    goodbye_cues=frozenset({"さようなら", "さよなら", "バイバイ", "失礼します", "またね", "以上です"}),
    repeat_cues=frozenset(
        {"もう一度", "もう一回", "もう一度お願いします", "え", "何ですか", "聞こえませんでした"}
    ),
    help_cues=frozenset({"何ができますか", "何を聞けますか", "助けて", "ヘルプ", "手伝って"}),
    identity_cues=frozenset({"あなたは誰ですか", "誰ですか", "あなたは人間ですか", "ロボットですか"}),
    yes_cues=frozenset({"はい", "いいえ", "うん", "わかりました", "了解", "了解です", "なるほど"}),
    human_cues=("人間と話", "人と話", "担当者", "オペレーター", "スタッフと話", "係の人"),
    greeting="こんにちは。何をお知りになりたいですか。",
    thanks="どういたしまして。ほかにご質問はありますか。",
    goodbye="ありがとうございました。またお越しください。",
    nothing_to_repeat="まだ何もお話ししていません。ご質問をどうぞ。",
    help="{topics}についてお答えできます。どうぞお聞きください。",
    help_without_topics="ご質問をどうぞ。いただいた資料からお答えします。",
    identity="私は自動の案内係です。いただいた資料からお答えします。",
    acknowledged="わかりました。ほかに何をお知りになりたいですか。",
    unknown="申し訳ありません。手元の資料にはそのことが書かれておらず、言語モデルも設定されていないため、"
    "推測でのお答えは控えます。",
    unknown_with_topics="申し訳ありません。手元の資料にはそのことが書かれておらず、言語モデルも設定されていないため、"
    "推測でのお答えは控えます。{topics}についてはお答えできます。",
    stop_words=frozenset(),
    also="、",
    final_also="と",
)

_LANGUAGES = {"en": ENGLISH, "ja": JAPANESE}


def phrases(language: str) -> Phrases:
    """The phrases of a language tag such as `en-US`; English where there are none."""
    return _LANGUAGES.get(language.partition("-")[0].lower(), ENGLISH)
