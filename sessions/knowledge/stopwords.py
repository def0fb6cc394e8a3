"""Words that say nothing about what is asked, in the languages most asked in; folded, before stemming."""

_ENGLISH = """
a an the of to in on at for from by with and or but if then than so as is are was were be been am do
does did can could will would shall should may might must have has had having i me my mine you your
yours he him his she her hers it its we our us they them their this that these those there here what
which who whom whose when where why how please tell about know like want need get got just also any
some not no yes ok okay hello hi hey thanks thank let say said much many more most very really still
actually maybe question ask explain give something anything everything one into over out up down too
because while being s t d ll re ve m don doesn didn isn aren wasn won wouldn couldn shouldn im ive
id long exactly
"""
_GERMAN = """
der die das den dem des ein eine einen einem einer eines und oder aber wenn dann als so wie ist sind
war waren sein bin bist hat habe haben hatte kann konnen konnte wird werden wurde wurden soll sollen
muss mussen darf durfen ich mich mir mein meine du dich dir dein er ihn ihm sie es wir uns unser ihr
euch ihnen nicht kein keine ja nein bitte danke hallo was wer wo wann warum wieso welche welcher
welches wieviel auf in im an am zu zum zur von vom bei mit nach aus fur uber unter auch noch nur
sehr hier da dort man sich denn
"""
_FRENCH = """
le la les un une des du de au aux et ou mais si alors que qui quoi dont ou est sont etait etre ai as
a avons avez ont avoir peut peux pouvez pouvons je me moi mon ma mes tu te toi ton ta tes il elle on
nous notre nos vous votre vos ils elles leur leurs ce cet cette ces dans sur sous avec pour par pas
ne non oui merci bonjour quel quelle quels quelles quand comment pourquoi combien y en se sa son ses
plus tres aussi j l c n qu
"""
_SPANISH = """
el los las un una unos unas de del al y o pero si que quien cual cuales cuando donde como por porque
para con sin en es son era ser estar esta estan estoy soy hay ha he han haber puedo puede pueden yo
me mi mis tu te ti tus usted ustedes su sus nos nosotros lo le les se no gracias hola favor muy mas
tambien cuanto cuanta este esta esto ese esa eso
"""
_ITALIAN = """
il lo gli un uno una di del della dei delle al alla ai alle da dal dalla in nel nella con su per tra
fra e o ma se che chi cui quale quali quando dove come perche quanto sono sei siamo siete era essere
ho hai ha abbiamo avete hanno avere posso puo possono io mi mio mia tu ti tuo tua lui lei noi ci voi
vi loro non si grazie ciao buongiorno questo questa quello quella anche molto piu
"""
_PORTUGUESE = """
o os um uma uns umas do da dos das no na nos nas ao aos com sem por para em e ou mas se que quem
qual quais quando onde como porque quanto sou es somos sao era ser estar esta estao tem ter tenho ha
posso pode podem eu me meu minha tu voce voces seu sua nao sim obrigado obrigada ola muito mais
tambem este isto isso
"""
_DUTCH = """
het een en of maar als dan zo is zijn was waren ben bent heb hebt heeft hebben kan kunnen zal zullen
moet moeten mag ik mij mijn jij je jouw hij hem zij haar wij we ons onze jullie hun niet geen ja nee
dank hallo wat wie waar wanneer waarom hoe welke op aan te van bij met naar uit voor over ook nog er
deze dit die dat
"""
# Pairs of characters that open and close questions rather than say what they are about.
_PAIRS = """
什么 怎么 怎样 哪里 哪个 多少 为什 请问 可以 你好 谢谢 我们 你们 他们 这个 那个 是什 么是 吗谢 何時
何で 教え 下さ 何か 어떻 떻게 무엇 뭐예 있나 나요 있어 어요 습니 니다 알려 주세 세요 해요 ครั
รับ ค่ะ อะไ ไร่
"""

_ALL = (_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH, _PAIRS)

STOP_WORDS = frozenset(word for words in _ALL for word in words.split())
